#include "server/metrics/error_metrics.h"

namespace sinkstream {

void CountError(MetricStore& store, ErrorScope scope, absl::StatusCode code) {
  const auto& codes = InfoOf(Metric::kErrors).labels[1].values;
  const auto number = static_cast<size_t>(code);
  if (number == 0) return;
  const size_t unknown = static_cast<size_t>(absl::StatusCode::kUnknown);
  const size_t known = number <= codes.size() ? number : unknown;
  store.CounterOf(Metric::kErrors, {static_cast<size_t>(scope), known - 1}).Add();
}

void CountRejection(MetricStore& store, Refusal refusal) {
  store.CounterOf(Metric::kAdmissionRejections, {static_cast<size_t>(refusal)}).Add();
}

}  // namespace sinkstream
