// PackedMatrix: a weight matrix [out, in] in the order in which the kernels read it: panels of 32
// outputs, [ceil(out / 32)][in][32], zeros beyond `out`, or those of quantized_blocks.h or
// int8_rows.h. No torch. Immutable after construction; any thread may read.
#pragma once

#include <cstdint>

#include "engine/torch/ops/huge_memory.h"
#include "engine/torch/ops/kernels.h"

namespace sinkstream {

// "float32", "bfloat16", "int8" or "int4", as a manifest says.
const char* DtypeName(kernels::Element element);
// True of what is multiplied with quantised activations.
bool IsQuantized(kernels::Element element);

class PackedMatrix {
 public:
  // `weights`: [out][in], float or bfloat16 bits, [out][in / 32] blocks or [out] rows of bytes as
  // `element` says; `bias`: [out] or null. Both are copied.
  PackedMatrix(kernels::Element element, const void* weights, int64_t out, int64_t in,
               const float* bias);

  kernels::Element element() const { return element_; }
  int64_t out() const { return out_; }
  int64_t in() const { return in_; }
  // Inputs whose activations share a scale where they are quantised.
  int64_t group() const;
  int64_t panels() const { return (out_ + kernels::kPanelOutputs - 1) / kernels::kPanelOutputs; }
  const void* data() const { return weights_.data; }
  // [panels * 32], null without a bias.
  const float* bias() const { return static_cast<const float*>(bias_.data); }

  // What it was made from, in its own element type.
  void Unpack(void* to) const;
  // Row `output` of the matrix, widened: `to` holds `in` floats. Requires 0 <= output < out.
  void CopyRow(int64_t output, float* to) const;

 private:
  const kernels::Element element_;
  const int64_t out_;
  const int64_t in_;
  HugeBuffer weights_;
  HugeBuffer bias_;
};

}  // namespace sinkstream
