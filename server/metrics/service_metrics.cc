#include "server/metrics/service_metrics.h"

#include <variant>

#include "engine/errors.h"

namespace sinkstream {

namespace {
// In the order of the catalog's values.
enum Reason : size_t { kMalformed, kInvalid, kOutOfTurn };
}  // namespace

ServiceMetrics::ServiceMetrics(MetricStore& store, const Clock& clock)
    : store_(store),
      clock_(clock),
      streams_(store.GaugeOf(Metric::kStreams)),
      malformed_(store.CounterOf(Metric::kMessagesRejected, {kMalformed})),
      invalid_(store.CounterOf(Metric::kMessagesRejected, {kInvalid})),
      out_of_turn_(store.CounterOf(Metric::kMessagesRejected, {kOutOfTurn})),
      first_token_seconds_(store.HistogramOf(Metric::kTimeToFirstTokenSeconds)),
      token_gap_seconds_(store.HistogramOf(Metric::kInterTokenLatencySeconds)) {
  Gauge& events = store.GaugeOf(Metric::kOutboundEvents);
  store.FillBeforeText([this, &events] { events.Set(static_cast<double>(outbound_events_)); });
}

void ServiceMetrics::SetStreamsLimit(int64_t streams) {
  store_.GaugeOf(Metric::kStreamsLimit).Set(static_cast<double>(streams));
}

void ServiceMetrics::CountRefusal(const absl::Status& status) {
  if (const auto refusal = ErrorRefusal(status)) CountRejection(store_, *refusal);
}

void ServiceMetrics::MessageRefused(const absl::Status& status, bool parsed) {
  if (ErrorRefusal(status)) return CountRefusal(status);
  if (!parsed) return malformed_.Add();
  (absl::IsFailedPrecondition(status) ? out_of_turn_ : invalid_).Add();
}

void TokenTimes::HandedOut(const Outbox::Batch& batch) {
  const absl::Time now = metrics_.clock_.Now();
  uint64_t gaps = 0;
  for (const Event& event : batch.events) {
    const auto* const delta = std::get_if<Delta>(&event);
    if (delta == nullptr || delta->tokens.empty()) continue;
    gaps += delta->tokens.size();
    if (!delta->arrived) continue;
    if (!batch.was_full) CountGaps(gaps - delta->tokens.size(), now);
    metrics_.first_token_seconds_.Observe(absl::ToDoubleSeconds(now - *delta->arrived));
    gaps = delta->tokens.size() - 1;
    last_ = now;
  }
  if (!batch.was_full) CountGaps(gaps, now);
  if (gaps > 0) last_ = now;
}

void TokenTimes::CountGaps(uint64_t tokens, absl::Time now) {
  if (tokens == 0) return;
  const double since = absl::ToDoubleSeconds(now - last_);
  metrics_.token_gap_seconds_.Observe(since / static_cast<double>(tokens), tokens);
}

}  // namespace sinkstream
