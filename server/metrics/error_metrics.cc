#include "server/metrics/error_metrics.h"

#include <algorithm>

#include "absl/strings/ascii.h"

namespace sinkstream {

void CountError(MetricStore& store, ErrorScope scope, absl::StatusCode code) {
  const auto& codes = InfoOf(Metric::kErrors).labels[1].values;
  const auto number = static_cast<size_t>(code);
  if (number == 0) return;
  const size_t unknown = static_cast<size_t>(absl::StatusCode::kUnknown);
  const size_t known = number <= codes.size() ? number : unknown;
  store.CounterOf(Metric::kErrors, {static_cast<size_t>(scope), known - 1}).Add();
}

void CountRejection(MetricStore& store, const std::string& reason) {
  const auto& reasons = InfoOf(Metric::kAdmissionRejections).labels[0].values;
  const auto found = std::find(reasons.begin(), reasons.end(), absl::AsciiStrToLower(reason));
  if (found == reasons.end()) return;
  const auto value = static_cast<size_t>(found - reasons.begin());
  store.CounterOf(Metric::kAdmissionRejections, {value}).Add();
}

}  // namespace sinkstream
