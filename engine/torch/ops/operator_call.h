// What the operators share: the check of a float32 argument, the split of rows over the threads and
// their scratch memory.
#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/functional/function_ref.h"
#include "engine/torch/ops/kernels.h"
#include "engine/torch/ops/thread_pool.h"

namespace sinkstream {

// `x`, contiguous. Throws c10::Error beginning with "op: argument" unless it is float32 with `dims`
// dimensions on the CPU.
inline at::Tensor Floats(const at::Tensor& x, const char* op, const char* argument, int64_t dims) {
  TORCH_CHECK(x.scalar_type() == at::kFloat && x.dim() == dims && x.device().is_cpu(), op, ": ",
              argument, " must be float32 with ", dims, " dimensions on the CPU, not ",
              x.scalar_type(), " ", x.sizes());
  return x.contiguous();
}

// Pieces small enough that a thread which starts late still finds some, yet `least` at least.
inline int64_t Grain(int64_t count, int64_t least) {
  return std::max(least, count / (8 * OperatorPool().threads()));
}

// Calls `body` with pieces of [0, rows) on the operators' threads; returns when all are done.
inline void ForRows(int64_t rows, int64_t least, absl::FunctionRef<void(kernels::Range)> body) {
  OperatorPool().ParallelFor(rows, Grain(rows, least),
                             [&](int64_t begin, int64_t end) { body({begin, end}); });
}

// `bytes` of the calling thread's memory for `Purpose` (any type), 64-byte aligned, until its next
// call for the same. Grows to the largest need and stays: the decode path allocates nothing. Want
// of memory is std::bad_alloc: a failed step, but in a ParallelFor the process's end.
template <typename Purpose>
void* ThreadScratch(int64_t bytes) {
  constexpr size_t kAlignment = 64;
  thread_local std::vector<char> scratch;
  const size_t needed = static_cast<size_t>(bytes) + kAlignment;
  if (scratch.size() < needed) scratch.resize(needed);
  void* aligned = scratch.data();
  size_t space = scratch.size();
  return std::align(kAlignment, needed - kAlignment, aligned, space);
}

}  // namespace sinkstream
