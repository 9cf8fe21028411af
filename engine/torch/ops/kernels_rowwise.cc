#include "engine/torch/ops/kernels_isa.h"
#include "engine/torch/ops/simd.h"

namespace sinkstream::kernels {
namespace {

float SumOfSquares(const float* x, int64_t size) {
  Vec sums = {};
  int64_t i = 0;
  for (; i + kLanes <= size; i += kLanes) {
    const Vec value = Load(x + i);
    sums += value * value;
  }
  const Vec value = LoadFirst(x + i, size - i);
  sums += value * value;
  return Sum(sums);
}

Vec Silu(Vec x) { return x / (1.0f + Exp(-x)); }

}  // namespace

namespace SINKSTREAM_ISA {

void RmsNorm(const RmsNormCall& call, Range rows) {
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    const float* x = call.x + row * call.size;
    float* y = call.y + row * call.size;
    const float mean = SumOfSquares(x, call.size) / static_cast<float>(call.size);
    const float scale = 1.0f / __builtin_sqrtf(mean + call.epsilon);
    int64_t i = 0;
    for (; i + kLanes <= call.size; i += kLanes) {
      Store(y + i, Load(x + i) * scale * Load(call.weight + i));
    }
    const int64_t left = call.size - i;
    StoreFirst(y + i, LoadFirst(x + i, left) * scale * LoadFirst(call.weight + i, left), left);
  }
}

void SiluMul(const SiluMulCall& call, Range rows) {
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    const float* gate = call.gate_up + row * 2 * call.size;
    const float* up = gate + call.size;
    float* y = call.y + row * call.size;
    int64_t i = 0;
    for (; i + kLanes <= call.size; i += kLanes) Store(y + i, Silu(Load(gate + i)) * Load(up + i));
    const int64_t left = call.size - i;
    StoreFirst(y + i, Silu(LoadFirst(gate + i, left)) * LoadFirst(up + i, left), left);
  }
}

}  // namespace SINKSTREAM_ISA
}  // namespace sinkstream::kernels
