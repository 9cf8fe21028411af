#include "engine/torch/ops/head_peaks.h"

namespace sinkstream {
namespace {

bool IsNaN(const kernels::RowPeak& peak) { return peak.value != peak.value; }

// Of equals the first.
kernels::RowPeak Higher(const kernels::RowPeak& a, const kernels::RowPeak& b) {
  if (IsNaN(a) || IsNaN(b)) return IsNaN(a) ? a : b;
  if (a.value == b.value) return a.output < b.output ? a : b;
  return a.value > b.value ? a : b;
}

}  // namespace

bool HeadPeaks::Begin(int64_t outputs) {
  if (outputs_ > 0) return false;
  const MutexLock lock(mutex_);
  outputs_ = outputs;
  peaks_.assign(alone_.size(), kNone);
  return true;
}

void HeadPeaks::Take(const kernels::RowPeak* found) {
  const MutexLock lock(mutex_);
  for (kernels::RowPeak& peak : peaks_) peak = Higher(peak, *found++);
}

}  // namespace sinkstream
