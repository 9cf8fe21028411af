#include "server/metrics/catalog.h"

#include "absl/strings/ascii.h"
#include "engine/errors.h"
#include "server/metrics/reason_names.h"

namespace sinkstream {
namespace {

using enum MetricType;
using Buckets = std::vector<double>;

// Those of vLLM and of OpenTelemetry's semantic conventions for generative AI, in seconds.
Buckets FirstTokenBuckets() {
  return {.001, .005, .01, .02, .04, .06, .08, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10, 20, 40, 80};
}
Buckets TokenGapBuckets() {
  return {.001, .002, .003, .005, .01, .025, .05, .075, .1, .15,
          .2,   .3,   .4,   .5,   .75, 1,    2.5, 5,    10};
}
Buckets TurnBuckets() {
  return {.1, .3, .5, .8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960};
}
Buckets StepBuckets() {
  return {.001, .0025, .005, .01, .025, .05, .075, .1, .15, .2, .3, .5, 1, 2.5, 5, 10, 60};
}
Buckets ParkBuckets() { return {.001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}; }
// A second to a week.
Buckets SessionBuckets() {
  return {1, 10, 60, 300, 900, 3600, 14400, 43200, 86400, 259200, 604800};
}
Buckets RowBuckets() { return {0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024}; }
Buckets RatioBuckets() { return {.01, .02, .05, .1, .2, .3, .4, .5, .6, .7, .8, .9, 1}; }
Buckets NllBuckets() { return {.01, .05, .1, .25, .5, 1, 1.5, 2, 3, 4, 6, 8, 12}; }

// google.rpc.Code, but for OK.
MetricLabel Codes() {
  return {"code",
          {"CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND",
           "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
           "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS",
           "UNAUTHENTICATED"}};
}

// Of enumerators, in their order, then `more`.
template <typename Enumerators>
MetricLabel LabelOf(const char* name, const Enumerators& enumerators,
                    std::initializer_list<const char*> more = {}) {
  MetricLabel label = {name, {}};
  for (const auto value : enumerators) label.values.push_back(absl::AsciiStrToLower(Name(value)));
  label.values.insert(label.values.end(), more.begin(), more.end());
  return label;
}

std::vector<MetricInfo> ServerMetrics() {
  using enum Metric;
  return {
      {kBuildInfo, "sinkstream_build_info", kGauge, "", "1; the server's version.", {{"version"}}},
      {kModelInfo,
       "sinkstream_model_info",
       kGauge,
       "",
       "1; the served model, its types, the kernels chosen at start, and sinks and window of a "
       "session that does not say.",
       {{"model"}, {"architecture"}, {"weights"}, {"kv"}, {"isa"}, {"sinks"}, {"window"}}},
      {kReady, "sinkstream_ready", kGauge, "",
       "1 while the server takes sessions: what /readyz and grpc.health.v1 say."},
      {kStepInFlightSeconds, "sinkstream_step_in_flight_seconds", kGauge, "seconds",
       "How long the round of the engine's loop at hand has taken, its model step included; 0: the "
       "loop waits. A long one is a stuck step."},
      {kStuckStepLimitSeconds, "sinkstream_stuck_step_limit_seconds", kGauge, "seconds",
       "A step that takes longer is stuck (--stuck_step_limit)."},
      {kMemoryLimitBytes, "sinkstream_memory_limit_bytes", kGauge, "bytes",
       "Most memory that the process takes: what it had when it was ready, and the limits of KV "
       "memory, distributions, gRPC, and of what may wait for the engine and for readers. 0 until "
       "the model is loaded."},
      {kThreads,
       "sinkstream_threads",
       kGauge,
       "",
       "Threads that compute: the kernels' pool, the engine thread among them, and libtorch's "
       "(OpenMP).",
       {{"pool", {"kernels", "openmp"}}}},
      {kTlsCertificateExpirySeconds, "sinkstream_tls_certificate_expiry_seconds", kGauge, "seconds",
       "When the certificate in force expires, since the epoch; 0: the port is not encrypted."},
      {kSecurityFilesCurrent, "sinkstream_security_files_current", kGauge, "",
       "1 while certificate, key and tokens in force are those of their files; 0: a file is wrong, "
       "and what was there before it is in force."},
  };
}

std::vector<MetricInfo> SessionMetrics() {
  using enum Metric;
  return {
      {kSessions,
       "sinkstream_sessions",
       kGauge,
       "",
       "Sessions alive, each in one state: a request runs; it would run but its reader is behind, "
       "or, if it asks for distributions, others' readers; a stream is attached; no stream is, in "
       "memory; no stream is, on disk.",
       {{"state", {"running", "paused", "attached", "idle", "parked"}}}},
      {kSessionsLimit, "sinkstream_sessions_limit", kGauge, "",
       "Most sessions alive at a time (--max_sessions)."},
      {kSessionsOpened, "sinkstream_sessions_opened_total", kCounter, "", "New sessions."},
      {kSessionsResumed, "sinkstream_sessions_resumed_total", kCounter, "",
       "Streams attached to a session that was there already."},
      {kSessionsClosed,
       "sinkstream_sessions_closed_total",
       kCounter,
       "",
       "Sessions ended: closed by the client, idle for too long, with their stream, at the "
       "server's end, or not to be read back from disk.",
       {LabelOf("reason", kCloseReasons)}},
      {kSessionDurationSeconds,
       "sinkstream_session_duration_seconds",
       kHistogram,
       "seconds",
       "Life of a session that has ended.",
       {},
       SessionBuckets()},
      {kAdmissionRejections,
       "sinkstream_admission_rejections_total",
       kCounter,
       "",
       "Sessions, streams and requests refused for want of room, or because the server shuts down.",
       {LabelOf("reason", kRefusals)}},
  };
}

std::vector<MetricInfo> StreamMetrics() {
  using enum Metric;
  return {
      {kStreams, "sinkstream_streams", kGauge, "", "Converse and Score calls alive."},
      {kStreamsLimit, "sinkstream_streams_limit", kGauge, "",
       "Most Converse and Score calls alive at a time."},
      {kMessagesRejected,
       "sinkstream_messages_rejected_total",
       kCounter,
       "",
       "Messages of clients refused before they reach the engine, which refuses others "
       "(sinkstream_errors_total): they do not parse, a field is out of its range, or they come "
       "out of turn.",
       {{"reason", {"malformed", "invalid", "out_of_turn"}}}},
      {kErrors,
       "sinkstream_errors_total",
       kCounter,
       "",
       "Errors told to clients: of a request (in band, or as the end of its Score call), of a "
       "stream's end otherwise, of a unary call.",
       {{"scope", {"request", "stream", "call"}}, Codes()}},
      {kOutboundEvents, "sinkstream_outbound_events", kGauge, "",
       "Events waiting for their readers, in all outboxes."},
      {kDecodePauses, "sinkstream_decode_pauses_total", kCounter, "",
       "Times that a session paused because its reader was behind."},
  };
}

std::vector<MetricInfo> TurnMetrics() {
  using enum Metric;
  return {
      {kTurns,
       "sinkstream_turns_total",
       kCounter,
       "",
       "Turns that have ended, by how.",
       {LabelOf("finish_reason", kFinishReasons, {"error"})}},
      {kAppends,
       "sinkstream_appends_total",
       kCounter,
       "",
       "Appends that have ended, by how.",
       {{"outcome", {"done", "cancelled", "error"}}}},
      {kRunningRequests, "sinkstream_running_requests", kGauge, "",
       "Turns and appends that run, paused ones included."},
      {kWaitingRequests, "sinkstream_waiting_requests", kGauge, "",
       "Turns and appends that wait behind another one of their session."},
      {kTurnQueueSeconds,
       "sinkstream_turn_queue_seconds",
       kHistogram,
       "seconds",
       "From a turn's arrival to its first place in a step.",
       {},
       FirstTokenBuckets()},
      {kTimeToFirstTokenSeconds,
       "sinkstream_time_to_first_token_seconds",
       kHistogram,
       "seconds",
       "From a turn's arrival until its first token is handed to its stream (TTFT).",
       {},
       FirstTokenBuckets()},
      {kInterTokenLatencySeconds,
       "sinkstream_inter_token_latency_seconds",
       kHistogram,
       "seconds",
       "Between tokens of a reply as they are handed to their stream (ITL): k tokens handed out "
       "together are k gaps, each a k-th of the time. Without those of a session that paused for "
       "its reader.",
       {},
       TokenGapBuckets()},
      {kUnansweredTurnSeconds,
       "sinkstream_unanswered_turn_seconds",
       kHistogram,
       "seconds",
       "From a turn's arrival to its end, of those that ended without a token: their users did not "
       "wait, or they failed.",
       {},
       FirstTokenBuckets()},
      {kTurnDurationSeconds,
       "sinkstream_turn_duration_seconds",
       kHistogram,
       "seconds",
       "From a turn's arrival to its end.",
       {},
       TurnBuckets()},
  };
}

std::vector<MetricInfo> TokenMetrics() {
  using enum Metric;
  return {
      {kPromptTokens, "sinkstream_prompt_tokens_total", kCounter, "tokens",
       "Tokens read: of turns, appends and system prompts."},
      {kGeneratedTokens, "sinkstream_generated_tokens_total", kCounter, "tokens",
       "Tokens sampled, stop tokens included."},
      {kEvictedTokens, "sinkstream_evicted_tokens_total", kCounter, "tokens",
       "Tokens that have left their session's window."},
      {kScoredTokens, "sinkstream_scored_tokens_total", kCounter, "tokens",
       "Tokens whose log-probability was told."},
      {kGuessedTokens,
       "sinkstream_guessed_tokens_total",
       kCounter,
       "tokens",
       "Tokens fed as guesses at what a reply says next (speculation), by whether they were right.",
       {{"outcome", {"accepted", "rejected"}}}},
  };
}

std::vector<MetricInfo> MemoryMetrics() {
  using enum Metric;
  return {
      {kKvLimitBytes, "sinkstream_kv_limit_bytes", kGauge, "bytes",
       "KV memory (--kv_bytes, in whole blocks)."},
      {kKvSessionsLimitBytes, "sinkstream_kv_sessions_limit_bytes", kGauge, "bytes",
       "Of that, what sessions can reserve: the rest is for what a step takes meanwhile."},
      {kKvReservedBytes, "sinkstream_kv_reserved_bytes", kGauge, "bytes",
       "KV memory reserved for open sessions: what admission counts."},
      {kKvUsedBytes, "sinkstream_kv_used_bytes", kGauge, "bytes", "KV memory that holds tokens."},
      {kKvPeakBytes, "sinkstream_kv_peak_bytes", kGauge, "bytes",
       "Most that it has held: so much of it is in RAM."},
      {kKvSessionBytes, "sinkstream_kv_session_bytes", kGauge, "bytes",
       "What a session of the default sinks and window reserves."},
      {kKvTokens, "sinkstream_kv_tokens", kGauge, "tokens",
       "Tokens that sessions in memory see: sinks and windows."},
      {kKvBlocks,
       "sinkstream_kv_blocks",
       kGauge,
       "blocks",
       "KV blocks: of pinned tokens, of recent ones, reserved but empty, free.",
       {{"use", {"pinned", "recent", "reserved", "free"}}}},
      {kKvBlocksEvicted, "sinkstream_kv_blocks_evicted_total", kCounter, "blocks",
       "KV blocks that the windows of their sessions have moved past, as positions say."},
      {kKvBlocksFreed, "sinkstream_kv_blocks_freed_total", kCounter, "blocks",
       "KV blocks that sessions gave back because their windows moved on: as many, or windows do "
       "not slide."},
      {kSharedPrefixLookups, "sinkstream_shared_prefix_lookups_total", kCounter, "",
       "New sessions with a system prompt that may be shared."},
      {kSharedPrefixHits, "sinkstream_shared_prefix_hits_total", kCounter, "",
       "Of these, those that did not read it: another had, or did while they waited."},
      {kSharedPrefixTokens, "sinkstream_shared_prefix_tokens_total", kCounter, "tokens",
       "Tokens that they did not have to read."},
      {kDistributionBytes, "sinkstream_distribution_bytes", kGauge, "bytes",
       "Told distributions that no client has read yet."},
      {kDistributionLimitBytes, "sinkstream_distribution_limit_bytes", kGauge, "bytes",
       "Most of these (--distribution_bytes)."},
  };
}

std::vector<MetricInfo> ParkingMetrics() {
  using enum Metric;
  return {
      {kParkedBytes, "sinkstream_parked_bytes", kGauge, "bytes",
       "Caches of idle sessions on disk."},
      {kParkedLimitBytes, "sinkstream_parked_limit_bytes", kGauge, "bytes",
       "Most of these (--park_bytes)."},
      {kParkOperations,
       "sinkstream_park_operations_total",
       kCounter,
       "",
       "Caches of idle sessions saved to disk, and loaded from it.",
       {LabelOf("op", kAllParkOperations), {"outcome", {"ok", "error"}}}},
      {kParkSeconds,
       "sinkstream_park_seconds",
       kHistogram,
       "seconds",
       "Time that such an operation took, its wait for those before it included.",
       {LabelOf("op", kAllParkOperations)},
       ParkBuckets()},
      {kParkTransferBytes,
       "sinkstream_park_transfer_bytes_total",
       kCounter,
       "bytes",
       "Bytes saved to disk and loaded from it.",
       {LabelOf("op", kAllParkOperations)}},
  };
}

std::vector<MetricInfo> StepMetrics() {
  using enum Metric;
  return {
      {kSteps,
       "sinkstream_steps_total",
       kCounter,
       "",
       "Model steps.",
       {{"outcome", {"ok", "error"}}}},
      {kStepSeconds,
       "sinkstream_step_seconds",
       kHistogram,
       "seconds",
       "Time of a step, whole.",
       {},
       StepBuckets()},
      {kStepPhaseSeconds,
       "sinkstream_step_phase_seconds_total",
       kCounter,
       "seconds",
       "Time of all steps, by what it went to: planning, the model, sampling, handing results to "
       "the outboxes.",
       {{"phase", {"plan", "model", "sample", "emit"}}}},
      {kStepRows,
       "sinkstream_step_rows",
       kHistogram,
       "tokens",
       "Tokens fed in a step: of prompts, and of replies (the batch size of decoding).",
       {{"phase", {"prefill", "decode"}}},
       RowBuckets()},
      {kPinnedAttentionRatio,
       "sinkstream_pinned_attention_ratio",
       kHistogram,
       "ratio",
       "Part of its attention that a token pays to the pinned tokens, the mean over the heads of a "
       "layer. Sampled: one row of every 16th step, the layers in turn.",
       {},
       RatioBuckets()},
      {kGeneratedNllNats,
       "sinkstream_generated_nll_nats",
       kHistogram,
       "nats",
       "Negative log-likelihood of a sampled token under the model, before temperature and "
       "penalties. Sampled: one row of every 16th step.",
       {},
       NllBuckets()},
      {kNonfiniteLogits, "sinkstream_nonfinite_logits_total", kCounter, "",
       "Rows of logits that give no distribution (a NaN, an infinity, none that is finite); their "
       "request fails."},
      {kLogLines,
       "sinkstream_log_lines_total",
       kCounter,
       "",
       "Lines written.",
       {{"level", {"error", "warning", "info", "debug"}}}},
      {kLogLinesDropped, "sinkstream_log_lines_dropped_total", kCounter, "",
       "Lines lost because standard error did not take them, or not in time."},
  };
}

std::vector<MetricInfo> ProcessMetrics() {
  using enum Metric;
  return {
      {kProcessCpuSeconds, "process_cpu_seconds_total", kCounter, "seconds",
       "User and system CPU time of the process."},
      {kProcessResidentMemoryBytes, "process_resident_memory_bytes", kGauge, "bytes",
       "Memory of the process that is in RAM."},
      {kProcessVirtualMemoryBytes, "process_virtual_memory_bytes", kGauge, "bytes",
       "Address space of the process."},
      {kProcessThreads, "process_threads", kGauge, "", "Threads of the process."},
      {kProcessOpenFds, "process_open_fds", kGauge, "", "Open file descriptors."},
      {kProcessMaxFds, "process_max_fds", kGauge, "", "Most open file descriptors."},
      {kProcessStartTimeSeconds, "process_start_time_seconds", kGauge, "seconds",
       "When the process started, since the epoch."},
  };
}

std::vector<MetricInfo> AllMetrics() {
  std::vector<MetricInfo> all;
  for (auto* const part :
       {&ServerMetrics, &SessionMetrics, &StreamMetrics, &TurnMetrics, &TokenMetrics,
        &MemoryMetrics, &ParkingMetrics, &StepMetrics, &ProcessMetrics}) {
    const std::vector<MetricInfo> metrics = part();
    all.insert(all.end(), metrics.begin(), metrics.end());
  }
  return all;
}

}  // namespace

const std::vector<MetricInfo>& MetricCatalog() {
  static const auto* const catalog = new std::vector<MetricInfo>(AllMetrics());
  return *catalog;
}

const MetricInfo& InfoOf(Metric metric) { return MetricCatalog()[static_cast<size_t>(metric)]; }

}  // namespace sinkstream
