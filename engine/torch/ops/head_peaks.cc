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

void HeadPeaks::Take(kernels::Range rows, const kernels::RowPeak* found) {
  const MutexLock lock(mutex_);
  peaks_.resize(alone_.size(), kNoPeak);
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    peaks_[row] = Higher(peaks_[row], found[row]);
  }
}

}  // namespace sinkstream
