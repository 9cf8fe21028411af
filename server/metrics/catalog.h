// MetricCatalog: every metric of the server: name, type, unit, help, labels with all their values,
// buckets. The one list that /metrics, docs/metrics.md, dashboards and alerts are made from.
//
// Names are Prometheus's: prefix sinkstream_, base units (seconds, bytes), _total for counters; the
// process_ ones are those of every client library. No label holds an id or a text of a client, so
// the number of series is constant: each value listed here is exported from the start, as 0.
#pragma once

#include <string>
#include <vector>

namespace sinkstream {

enum class MetricType { kCounter, kGauge, kHistogram };

struct MetricLabel {
  std::string name;
  std::vector<std::string> values = {};  // empty: one, told at start
};

// In the order of the catalog.
enum class Metric {
  kBuildInfo,
  kModelInfo,
  kReady,
  kStepInFlightSeconds,
  kStuckStepLimitSeconds,
  kMemoryLimitBytes,
  kThreads,
  kTlsCertificateExpirySeconds,
  kSecurityFilesCurrent,

  kSessions,
  kSessionsLimit,
  kSessionsOpened,
  kSessionsResumed,
  kSessionsClosed,
  kSessionDurationSeconds,
  kAdmissionRejections,

  kStreams,
  kStreamsLimit,
  kMessagesRejected,
  kErrors,
  kOutboundEvents,
  kDecodePauses,

  kTurns,
  kAppends,
  kRunningRequests,
  kWaitingRequests,
  kTurnQueueSeconds,
  kTimeToFirstTokenSeconds,
  kInterTokenLatencySeconds,
  kUnansweredTurnSeconds,
  kTurnDurationSeconds,

  kPromptTokens,
  kGeneratedTokens,
  kEvictedTokens,
  kScoredTokens,
  kGuessedTokens,

  kKvLimitBytes,
  kKvSessionsLimitBytes,
  kKvReservedBytes,
  kKvUsedBytes,
  kKvPeakBytes,
  kKvSessionBytes,
  kKvTokens,
  kKvBlocks,
  kKvBlocksEvicted,
  kKvBlocksFreed,
  kSharedPrefixLookups,
  kSharedPrefixHits,
  kSharedPrefixTokens,
  kDistributionBytes,
  kDistributionLimitBytes,

  kParkedBytes,
  kParkedLimitBytes,
  kParkOperations,
  kParkSeconds,
  kParkTransferBytes,

  kSteps,
  kStepSeconds,
  kStepPhaseSeconds,
  kStepRows,

  kPinnedAttentionRatio,
  kGeneratedNllNats,
  kNonfiniteLogits,

  kLogLines,
  kLogLinesDropped,

  kProcessCpuSeconds,
  kProcessResidentMemoryBytes,
  kProcessVirtualMemoryBytes,
  kProcessThreads,
  kProcessOpenFds,
  kProcessMaxFds,
  kProcessStartTimeSeconds,
};

struct MetricInfo {
  Metric metric;
  std::string name;
  MetricType type = MetricType::kCounter;
  std::string unit;  // of a value; empty: a plain number
  std::string help;
  std::vector<MetricLabel> labels = {};
  std::vector<double> buckets = {};  // of a histogram: upper bounds, ascending; +Inf is implied
};

// One for each Metric, in its order.
const std::vector<MetricInfo>& MetricCatalog();
const MetricInfo& InfoOf(Metric metric);

}  // namespace sinkstream
