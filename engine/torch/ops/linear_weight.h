// LinearWeight: TorchBind class of a weight matrix. Serialised as the plain tensors it was made
// from, packed for the kernels once when made or loaded; the plain tensors are not kept.
#pragma once

#include <torch/custom_class.h>

#include <optional>
#include <tuple>

#include "engine/torch/ops/packed_matrix.h"

namespace sinkstream {

class LinearWeight final : public torch::CustomClassHolder {
 public:
  // weight: [out, in], float32 or bfloat16; bias: [out], float32. Throws c10::Error for anything
  // else.
  LinearWeight(const at::Tensor& weight, const std::optional<at::Tensor>& bias);

  const PackedMatrix& matrix() const { return matrix_; }
  // The tensors it was made from.
  std::tuple<at::Tensor, std::optional<at::Tensor>> Plain() const;

 private:
  const PackedMatrix matrix_;
};

void RegisterLinearWeight(torch::Library& library);

}  // namespace sinkstream
