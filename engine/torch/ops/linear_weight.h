// LinearWeight: TorchBind class of a weight matrix. Serialised as the plain tensors it was made
// from. Packed for the kernels once, at its first use, after which the plain tensors are not kept:
// while a file is loaded libtorch holds them all, and an exporter only saves them, so neither has
// the weights twice. Any thread may use it.
#pragma once

#include <torch/custom_class.h>

#include <mutex>
#include <optional>
#include <tuple>

#include "engine/torch/ops/packed_matrix.h"

namespace sinkstream {

class LinearWeight final : public torch::CustomClassHolder {
 public:
  // weight: [out, in], float32 or bfloat16; or uint8 [out, in / 32, B], GGUF's blocks of Q4_0 (B
  // 18), Q4_1 (20) or Q8_0 (34); or uint8 [out, 4 + in], rows of bytes (int8_rows.h); with finite
  // scales. bias: [out], float32. Throws c10::Error for anything else. They are shared until
  // packed: not to be written to.
  LinearWeight(const at::Tensor& weight, const std::optional<at::Tensor>& bias);

  const PackedMatrix& matrix() const;
  // The tensors it was made from.
  std::tuple<at::Tensor, std::optional<at::Tensor>> Plain() const;

 private:
  mutable std::once_flag packed_;
  mutable std::mutex mutex_;  // guards the following, matrix_ until packed_
  mutable at::Tensor weight_;
  mutable std::optional<at::Tensor> bias_;
  mutable std::optional<PackedMatrix> matrix_;
};

void RegisterLinearWeight(torch::Library& library);

}  // namespace sinkstream
