// The end of every linear kernel. For the kernels_*.cc files alone (simd.h says why).
#pragma once

#include "engine/torch/ops/simd.h"

namespace sinkstream::kernels {
namespace {

// Adds bias and residual to the sums of the outputs from `output` on and writes what is within
// `out`.
inline void Finish(const LinearOutput& to, Vec sum, int64_t row, int64_t output) {
  const int64_t count = to.out - output < kLanes ? to.out - output : kLanes;
  if (count <= 0) return;
  if (to.bias != nullptr) sum += Load(to.bias + output);
  const int64_t at = row * to.out + output;
  if (count == kLanes) {
    if (to.residual != nullptr) sum += Load(to.residual + at);
    Store(to.y + at, sum);
  } else {
    if (to.residual != nullptr) sum += LoadFirst(to.residual + at, count);
    StoreFirst(to.y + at, sum, count);
  }
}

}  // namespace
}  // namespace sinkstream::kernels
