// HeadPeaks: the highest logit of each of a step's wanted rows, found before the head's sums leave
// for memory. A greedy choice needs no more: no vocabulary of logits is written for it, and none
// read. docs/adr/0017-peaks-from-the-head.md.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "engine/sync.h"
#include "engine/torch/ops/kernels.h"

namespace sinkstream {

class HeadPeaks {
 public:
  // The peak of a row of which no output has been seen yet.
  static constexpr kernels::RowPeak kNone = {-__builtin_inff(), 0};

  // `alone`: of each row, whether its peak alone is wanted (not 0).
  explicit HeadPeaks(std::vector<uint8_t> alone) : alone_(std::move(alone)) {}

  int64_t rows() const { return static_cast<int64_t>(alone_.size()); }
  const uint8_t* alone() const { return alone_.data(); }

  // A head of so many outputs (>= 1) begins. False if one has before.
  bool Begin(int64_t outputs);
  // Merges the peaks, [rows()], of some of the outputs into those so far. In any order of calls the
  // result is the same. Any thread.
  void Take(const kernels::RowPeak* found);

  // Of the head; 0 if none has begun. Not while it runs, nor is peaks().
  int64_t outputs() const { return outputs_; }
  // [rows()]; empty if none has begun.
  absl::Span<const kernels::RowPeak> peaks() const ABSL_NO_THREAD_SAFETY_ANALYSIS { return peaks_; }

 private:
  const std::vector<uint8_t> alone_;
  int64_t outputs_ = 0;
  Mutex mutex_;
  std::vector<kernels::RowPeak> peaks_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace sinkstream
