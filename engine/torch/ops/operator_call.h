// What the operators share: the check of a float32 argument and the split of rows over the threads.
#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cstdint>

#include "absl/functional/function_ref.h"
#include "engine/torch/ops/kernels.h"
#include "engine/torch/ops/thread_pool.h"

namespace sinkstream {

// `x`, contiguous. Throws c10::Error beginning with `what` ("operator: argument") unless it is
// float32 with `dims` dimensions on the CPU.
inline at::Tensor Floats(const at::Tensor& x, const char* what, int64_t dims) {
  TORCH_CHECK(x.scalar_type() == at::kFloat && x.dim() == dims && x.device().is_cpu(), what,
              " must be float32 with ", dims, " dimensions on the CPU, not ", x.scalar_type(), " ",
              x.sizes());
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

}  // namespace sinkstream
