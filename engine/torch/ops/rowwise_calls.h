// The checked arguments of the operators on single rows that products are fused with.
#pragma once

#include <ATen/core/Tensor.h>

#include "engine/torch/ops/kernels.h"

namespace sinkstream {

// Holds what `call` reads. The call has no y yet.
struct RmsNormInput {
  at::Tensor x;       // [N, H]
  at::Tensor weight;  // [H]
  kernels::RmsNormCall call;
};

struct GatedInput {
  at::Tensor gate_up;  // [N, 2 * I]
  kernels::GatedCall call;
};

// Throw c10::Error in the name of `op` for tensors of another type or shape; `weight_name`: what
// the operator calls that argument.
RmsNormInput CheckedRmsNorm(const char* op, const at::Tensor& x, const char* weight_name,
                            const at::Tensor& weight, double epsilon);
GatedInput CheckedGated(const char* op, const at::Tensor& gate_up);

}  // namespace sinkstream
