#include "engine/torch/ops/kernels_isa.h"
#include "engine/torch/ops/simd.h"

namespace sinkstream::kernels {
namespace {

float SumOf(const float* x, int64_t size) {
  Vec sums = {};
  int64_t i = 0;
  for (; i + kLanes <= size; i += kLanes) sums += Load(x + i);
  return Sum(sums + LoadFirst(x + i, size - i));
}

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

// One over the root of the mean square.
float InverseRms(const float* x, int64_t size, float epsilon) {
  const float mean = SumOfSquares(x, size) / static_cast<float>(size);
  return 1.0f / __builtin_sqrtf(mean + epsilon);
}

void RmsNormRow(const float* x, const float* weight, int64_t size, float epsilon, float* y) {
  const float scale = InverseRms(x, size, epsilon);
  int64_t i = 0;
  for (; i + kLanes <= size; i += kLanes) Store(y + i, Load(x + i) * scale * Load(weight + i));
  const int64_t left = size - i;
  StoreFirst(y + i, LoadFirst(x + i, left) * scale * LoadFirst(weight + i, left), left);
}

// y = x less its mean. y may be x.
void Centre(const float* x, int64_t size, float* y) {
  const float mean = SumOf(x, size) / static_cast<float>(size);
  int64_t i = 0;
  for (; i + kLanes <= size; i += kLanes) Store(y + i, Load(x + i) - mean);
  StoreFirst(y + i, LoadFirst(x + i, size - i) - mean, size - i);
}

void LayerNormRow(const LayerNormCall& call, const float* x, float* y) {
  Centre(x, call.size, y);
  Centre(y, call.size, y);  // far from zero, rounding leaves a part of the mean
  const int64_t whole = call.size / kLanes * kLanes, left = call.size - whole;
  const float scale = InverseRms(y, call.size, call.epsilon);
  for (int64_t i = 0; i < whole; i += kLanes) {
    const Vec bias = call.bias == nullptr ? Vec{} : Load(call.bias + i);
    Store(y + i, Load(y + i) * scale * Load(call.weight + i) + bias);
  }
  const Vec bias = call.bias == nullptr ? Vec{} : LoadFirst(call.bias + whole, left);
  const Vec last = LoadFirst(y + whole, left) * scale * LoadFirst(call.weight + whole, left);
  StoreFirst(y + whole, last + bias, left);
}

Vec Silu(Vec x) { return x / (1.0f + Exp(-x)); }

// x * Phi(x), by the tail Q(|x|) = exp(-x^2 / 2) * t * P(t), t = 1 / (1 + 0.35 |x|), so that both
// ends keep their precision. P: least maximal relative error (3.2e-8) over |x| <= 14, fitted to
// erfcx.
Vec GeluErf(Vec x) {
  const Vec t = 1.0f / (1.0f + Magnitude(x) * 0.35f);
  Vec series = Splat(-2.914592755e-2f);
  series = series * t + 1.439716842e-1f;
  series = series * t - 2.557142258e-1f;
  series = series * t + 1.591741278e-1f;
  series = series * t - 2.310981326e-2f;
  series = series * t + 1.055079952e-1f;
  series = series * t + 1.198328697e-1f;
  series = series * t + 1.398618694e-1f;
  series = series * t + 1.396214043e-1f;
  const Vec tail = series * t * Exp(x * x * -0.5f);
  return x * (x < 0.0f ? tail : 1.0f - tail);
}

// x * (1 + tanh(u)) / 2 = x / (1 + exp(-2 u)), with an exponential that never overflows.
Vec GeluTanh(Vec x) {
  const Vec magnitude = Magnitude(x);
  const Vec power =
      Exp(magnitude * (1.0f + x * x * 0.044715f) * -1.595769122f);  // 2 * sqrt(2 / pi)
  return x * (x < 0.0f ? power : Splat(1.0f)) / (1.0f + power);
}

template <Vec (*kActivation)(Vec)>
void Activate(const ActivationCall& call, Range rows) {
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    const float* x = call.x + row * call.size;
    float* y = call.y + row * call.size;
    int64_t i = 0;
    for (; i + kLanes <= call.size; i += kLanes) Store(y + i, kActivation(Load(x + i)));
    const int64_t left = call.size - i;
    StoreFirst(y + i, kActivation(LoadFirst(x + i, left)), left);
  }
}

template <Vec (*kActivation)(Vec)>
void ActivateGate(const GatedCall& call, Range rows) {
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    const float* gate = call.gate_up + row * 2 * call.size;
    const float* up = gate + call.size;
    float* y = call.y + row * call.size;
    int64_t i = 0;
    for (; i + kLanes <= call.size; i += kLanes) {
      Store(y + i, kActivation(Load(gate + i)) * Load(up + i));
    }
    const int64_t left = call.size - i;
    StoreFirst(y + i, kActivation(LoadFirst(gate + i, left)) * LoadFirst(up + i, left), left);
  }
}

}  // namespace

namespace SINKSTREAM_ISA {

void RmsNorm(const RmsNormCall& call, Range rows) {
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    const int64_t at = row * call.size;
    RmsNormRow(call.x + at, call.weight, call.size, call.epsilon, call.y + at);
  }
}

void LayerNorm(const LayerNormCall& call, Range rows) {
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    LayerNormRow(call, call.x + row * call.size, call.y + row * call.size);
  }
}

void HeadRmsNorm(const HeadRmsNormCall& call, Range rows) {
  const int64_t normed = call.normed_heads * call.head_dim, width = call.heads * call.head_dim;
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    const float* x = call.x + row * width;
    float* y = call.y + row * width;
    for (int64_t at = 0; at < normed; at += call.head_dim) {
      RmsNormRow(x + at, call.weight + at, call.head_dim, call.epsilon, y + at);
    }
    __builtin_memcpy(y + normed, x + normed, static_cast<size_t>(width - normed) * sizeof(float));
  }
}

void SiluMul(const GatedCall& call, Range rows) { ActivateGate<Silu>(call, rows); }

void Gelu(GeluKind kind, const ActivationCall& call, Range rows) {
  if (kind == GeluKind::kErf) return Activate<GeluErf>(call, rows);
  Activate<GeluTanh>(call, rows);
}

void GeluMul(GeluKind kind, const GatedCall& call, Range rows) {
  if (kind == GeluKind::kErf) return ActivateGate<GeluErf>(call, rows);
  ActivateGate<GeluTanh>(call, rows);
}

}  // namespace SINKSTREAM_ISA
}  // namespace sinkstream::kernels
