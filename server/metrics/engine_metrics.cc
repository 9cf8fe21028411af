#include "server/metrics/engine_metrics.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "server/metrics/error_metrics.h"

namespace sinkstream {
namespace {

// Cells of a metric with one label, in the order of its values.
template <size_t N>
std::array<Counter*, N> Counters(MetricStore& store, Metric metric) {
  std::array<Counter*, N> counters{};
  for (size_t value = 0; value < N; ++value) counters[value] = &store.CounterOf(metric, {value});
  return counters;
}

template <size_t N>
std::array<Gauge*, N> Gauges(MetricStore& store, Metric metric) {
  std::array<Gauge*, N> gauges{};
  for (size_t value = 0; value < N; ++value) gauges[value] = &store.GaugeOf(metric, {value});
  return gauges;
}

// In the order of the label's values.
enum Outcome : size_t { kOk, kError };
enum AppendOutcome : size_t { kAppendDone, kAppendCancelled, kAppendError };
constexpr size_t kTurnError = kFinishReasons.size();

}  // namespace

EngineMetrics::EngineMetrics(MetricStore& store)
    : store_(store),
      sessions_(Gauges<5>(store, Metric::kSessions)),
      opened_(store.CounterOf(Metric::kSessionsOpened)),
      resumed_(store.CounterOf(Metric::kSessionsResumed)),
      closed_(Counters<kCloseReasons.size()>(store, Metric::kSessionsClosed)),
      session_seconds_(store.HistogramOf(Metric::kSessionDurationSeconds)),
      decode_pauses_(store.CounterOf(Metric::kDecodePauses)),
      turns_(Counters<kFinishReasons.size() + 1>(store, Metric::kTurns)),
      appends_(Counters<3>(store, Metric::kAppends)),
      running_(store.GaugeOf(Metric::kRunningRequests)),
      waiting_(store.GaugeOf(Metric::kWaitingRequests)),
      queue_seconds_(store.HistogramOf(Metric::kTurnQueueSeconds)),
      turn_seconds_(store.HistogramOf(Metric::kTurnDurationSeconds)),
      unanswered_seconds_(store.HistogramOf(Metric::kUnansweredTurnSeconds)),
      prompt_tokens_(store.CounterOf(Metric::kPromptTokens)),
      generated_tokens_(store.CounterOf(Metric::kGeneratedTokens)),
      evicted_tokens_(store.CounterOf(Metric::kEvictedTokens)),
      scored_tokens_(store.CounterOf(Metric::kScoredTokens)),
      accepted_guesses_(store.CounterOf(Metric::kGuessedTokens, {0})),
      rejected_guesses_(store.CounterOf(Metric::kGuessedTokens, {1})),
      kv_reserved_(store.GaugeOf(Metric::kKvReservedBytes)),
      kv_used_(store.GaugeOf(Metric::kKvUsedBytes)),
      kv_peak_(store.GaugeOf(Metric::kKvPeakBytes)),
      kv_tokens_(store.GaugeOf(Metric::kKvTokens)),
      blocks_(Gauges<4>(store, Metric::kKvBlocks)),
      evicted_blocks_(store.CounterOf(Metric::kKvBlocksEvicted)),
      freed_blocks_(store.CounterOf(Metric::kKvBlocksFreed)),
      prefix_lookups_(store.CounterOf(Metric::kSharedPrefixLookups)),
      prefix_hits_(store.CounterOf(Metric::kSharedPrefixHits)),
      prefix_tokens_(store.CounterOf(Metric::kSharedPrefixTokens)),
      distribution_bytes_(store.GaugeOf(Metric::kDistributionBytes)),
      parked_bytes_(store.GaugeOf(Metric::kParkedBytes)),
      parking_{ParkingOf(store, ParkOperation::kSave), ParkingOf(store, ParkOperation::kLoad)},
      steps_(Counters<2>(store, Metric::kSteps)),
      step_seconds_(store.HistogramOf(Metric::kStepSeconds)),
      phase_seconds_(Counters<4>(store, Metric::kStepPhaseSeconds)),
      prefill_rows_(store.HistogramOf(Metric::kStepRows, {0})),
      decode_rows_(store.HistogramOf(Metric::kStepRows, {1})),
      pinned_attention_(store.HistogramOf(Metric::kPinnedAttentionRatio)),
      nll_(store.HistogramOf(Metric::kGeneratedNllNats)),
      nonfinite_(store.CounterOf(Metric::kNonfiniteLogits)) {}

EngineMetrics::Parking EngineMetrics::ParkingOf(MetricStore& store, ParkOperation operation) {
  const auto op = static_cast<size_t>(operation);
  return {{&store.CounterOf(Metric::kParkOperations, {op, kOk}),
           &store.CounterOf(Metric::kParkOperations, {op, kError})},
          &store.HistogramOf(Metric::kParkSeconds, {op}),
          &store.CounterOf(Metric::kParkTransferBytes, {op})};
}

void EngineMetrics::Describe(const Engine& engine) {
  const ModelSpec& spec = engine.Spec();
  const EngineOptions& options = engine.Options();
  store_.SetInfo(Metric::kModelInfo,
                 {spec.name, spec.architecture, spec.weight_dtype, spec.kv_dtype, spec.isa,
                  absl::StrCat(options.defaults.sinks), absl::StrCat(options.defaults.window)});
  const auto set = [&](Metric metric, int64_t value, MetricStore::LabelValues labels = {}) {
    store_.GaugeOf(metric, labels).Set(static_cast<double>(value));
  };
  set(Metric::kThreads, spec.threads, {0});
  set(Metric::kThreads, spec.library_threads, {1});
  set(Metric::kSessionsLimit, options.limits.max_sessions);
  set(Metric::kKvLimitBytes, spec.num_blocks * spec.block_bytes);
  set(Metric::kKvSessionsLimitBytes, engine.SessionsKvBytes());
  set(Metric::kKvSessionBytes, engine.SessionKvBytes(options.defaults));
  set(Metric::kDistributionLimitBytes, options.limits.distribution_bytes);
  set(Metric::kParkedLimitBytes, options.park.bytes);
}

void EngineMetrics::OnStep(const StepStats& stats) {
  steps_[stats.failed ? kError : kOk]->Add();
  const absl::Duration phases[] = {stats.plan, stats.model, stats.sample, stats.emit};
  absl::Duration whole;
  for (size_t phase = 0; phase < phase_seconds_.size(); ++phase) {
    phase_seconds_[phase]->Add(absl::ToDoubleSeconds(phases[phase]));
    whole += phases[phase];
  }
  step_seconds_.Observe(absl::ToDoubleSeconds(whole));
  prefill_rows_.Observe(stats.prefill_rows);
  decode_rows_.Observe(stats.decode_rows);
  prompt_tokens_.Add(stats.prefill_rows);
  generated_tokens_.Add(stats.sampled_tokens);
  scored_tokens_.Add(stats.scored_tokens);
  accepted_guesses_.Add(stats.accepted_guesses);
  rejected_guesses_.Add(stats.guessed_tokens - stats.accepted_guesses);
  evicted_tokens_.Add(static_cast<double>(stats.evicted_tokens));
  evicted_blocks_.Add(static_cast<double>(stats.evicted_blocks));
  freed_blocks_.Add(static_cast<double>(stats.freed_blocks));
  nonfinite_.Add(stats.nonfinite_rows);
  if (stats.pinned_attention) pinned_attention_.Observe(*stats.pinned_attention);
  if (stats.negative_log_likelihood) nll_.Observe(*stats.negative_log_likelihood);
}

void EngineMetrics::OnPool(const PoolStats& stats) {
  const int32_t idle = stats.sessions - stats.attached_sessions - stats.parked_sessions;
  const int32_t by_state[] = {stats.running_requests - stats.paused_requests, stats.paused_requests,
                              stats.attached_sessions - stats.running_requests, idle,
                              stats.parked_sessions};
  for (size_t state = 0; state < sessions_.size(); ++state) sessions_[state]->Set(by_state[state]);
  running_.Set(stats.running_requests);
  waiting_.Set(stats.waiting_requests);
  kv_reserved_.Set(static_cast<double>(stats.kv_bytes_reserved));
  const auto used = static_cast<double>(stats.blocks_used * stats.block_bytes);
  kv_used_.Set(used);
  kv_peak_.Set(std::max(kv_peak_.Value(), used));
  kv_tokens_.Set(static_cast<double>(stats.kv_tokens));
  distribution_bytes_.Set(static_cast<double>(stats.distribution_bytes));
  parked_bytes_.Set(static_cast<double>(stats.parked_bytes));
  SetBlocks(stats);
}

// Some of what a session has reserved holds nothing yet; a step may hold more than is reserved.
void EngineMetrics::SetBlocks(const PoolStats& stats) {
  const int32_t empty = std::max(0, stats.blocks_reserved - stats.blocks_used);
  const int32_t by_use[] = {stats.blocks_used - stats.recent_blocks, stats.recent_blocks, empty,
                            stats.blocks_total - stats.blocks_used - empty};
  for (size_t use = 0; use < blocks_.size(); ++use) blocks_[use]->Set(by_use[use]);
}

void EngineMetrics::OnSessionStart(const SessionStart& start) {
  (start.resumed ? resumed_ : opened_).Add();
  if (start.has_prefix) prefix_lookups_.Add();
  if (start.shared_tokens > 0) prefix_hits_.Add();
  prefix_tokens_.Add(static_cast<double>(start.shared_tokens));
}

void EngineMetrics::OnPrefixJoined(int64_t tokens) {
  prefix_hits_.Add();
  prefix_tokens_.Add(static_cast<double>(tokens));
}

void EngineMetrics::OnSessionEnd(const SessionEnd& end) {
  closed_[static_cast<size_t>(end.reason)]->Add();
  session_seconds_.Observe(absl::ToDoubleSeconds(end.lifetime));
}

void EngineMetrics::OnRejected(Refusal refusal) { CountRejection(store_, refusal); }

void EngineMetrics::OnRequestEnd(const RequestEnd& end) {
  if (end.replies) return CountTurn(end);
  const size_t failure = absl::IsCancelled(end.status) ? kAppendCancelled : kAppendError;
  appends_[end.status.ok() ? kAppendDone : failure]->Add();
}

void EngineMetrics::CountTurn(const RequestEnd& end) {
  turns_[end.reason ? static_cast<size_t>(*end.reason) : kTurnError]->Add();
  const double total = absl::ToDoubleSeconds(end.timings.total);
  turn_seconds_.Observe(total);
  if (end.usage.generated_tokens == 0) unanswered_seconds_.Observe(total);
  const bool planned = end.timings.queue < end.timings.total;
  if (planned) queue_seconds_.Observe(absl::ToDoubleSeconds(end.timings.queue));
}

void EngineMetrics::OnRequestFailed(const absl::Status& status) {
  CountError(store_, ErrorScope::kRequest, status.code());
}

void EngineMetrics::OnParkEnd(const ParkEnd& end) {
  const Parking& parking = parking_[static_cast<size_t>(end.operation)];
  parking.operations[end.status.ok() ? kOk : kError]->Add();
  parking.seconds->Observe(absl::ToDoubleSeconds(end.time));
  if (end.status.ok()) parking.bytes->Add(static_cast<double>(end.bytes));
}

}  // namespace sinkstream
