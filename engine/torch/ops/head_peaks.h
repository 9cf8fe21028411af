// HeadPeaks: the highest logit of each of a step's wanted rows, found while the head's products are
// in registers. A greedy choice needs no more: no vocabulary of logits is written for it, and none
// read.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "engine/sync.h"
#include "engine/torch/ops/kernels.h"

namespace sinkstream {

class HeadPeaks {
 public:
  // `alone`: of each row, whether its peak alone is wanted (not 0).
  explicit HeadPeaks(std::vector<uint8_t> alone) : alone_(std::move(alone)) {}

  int64_t rows() const { return static_cast<int64_t>(alone_.size()); }
  const uint8_t* alone() const { return alone_.data(); }

  // Takes what a piece of the outputs came to in `rows`; found: [rows()]. The order of pieces makes
  // no difference. Any thread.
  void Take(kernels::Range rows, const kernels::RowPeak* found);

  // [rows()]; empty where nothing has been taken. Not while pieces are.
  const std::vector<kernels::RowPeak>& peaks() const ABSL_NO_THREAD_SAFETY_ANALYSIS {
    return peaks_;
  }

 private:
  const std::vector<uint8_t> alone_;
  Mutex mutex_;
  std::vector<kernels::RowPeak> peaks_ ABSL_GUARDED_BY(mutex_);
};

// What a row begins with.
inline constexpr kernels::RowPeak kNoPeak = {-__builtin_inff(), 0};

}  // namespace sinkstream
