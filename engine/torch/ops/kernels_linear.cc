#include "engine/torch/ops/kernels_isa.h"
#include "engine/torch/ops/linear_output.h"
#include "engine/torch/ops/row_tiles.h"
#include "engine/torch/ops/simd.h"

namespace sinkstream::kernels {
namespace {

// Registers: kRowTile * kVectors accumulators, kVectors of weights, one broadcast activation.
#if defined(__AVX512F__)
constexpr int kRowTile = 12;
constexpr int kVectors = 2;
#elif defined(__AVX2__)
constexpr int kRowTile = 3;
constexpr int kVectors = 4;
#else
constexpr int kRowTile = 3;
constexpr int kVectors = 4;
#endif
constexpr int kColumns = kVectors * kLanes;
static_assert(kPanelOutputs % kColumns == 0);

// Products are added up in chains of so many, then the chains: rounding grows with the length of a
// chain and the number of chains, not with their product (Higham 2002, section 4.2).
constexpr int64_t kChain = 64;

// Adds the products of `count` inputs, in ascending order, to sums that begin at zero.
template <typename Weights, int kRows>
void AddProducts(const typename Weights::Type* weights, const float* x, int64_t stride,
                 int64_t count, Vec (&sums)[kRows][kVectors]) {
  for (int64_t k = 0; k < count; ++k, weights += kPanelOutputs) {
    Vec outputs[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) outputs[v] = Weights::Load(weights + v * kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const float activation = x[r * stride + k];
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) sums[r][v] += outputs[v] * activation;
    }
  }
}

template <typename Weights, int kRows>
void Tile(const LinearCall& call, int64_t panel, int64_t row) {
  const auto* panels = static_cast<const typename Weights::Type*>(call.panels);
  for (int column = 0; column < kPanelOutputs; column += kColumns) {
    const auto* weights = panels + panel * call.in * kPanelOutputs + column;
    const float* x = call.x + row * call.in;
    Vec sums[kRows][kVectors] = {};
    for (int64_t k = 0; k < call.in; k += kChain) {
      const int64_t count = call.in - k < kChain ? call.in - k : kChain;
      Vec chain[kRows][kVectors] = {};
      AddProducts<Weights, kRows>(weights + k * kPanelOutputs, x + k, call.in, count, chain);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) sums[r][v] += chain[r][v];
      }
    }
    FinishTile(call.output, sums, row, panel * kPanelOutputs + column);
  }
}

template <typename Weights>
void Panels(const LinearCall& call, Range panels, Range rows) {
  ForTiles<kRowTile>(panels, rows, [&]<int kRows>(int64_t panel, int64_t row, int64_t, int64_t) {
    Tile<Weights, kRows>(call, panel, row);
  });
}

}  // namespace

namespace SINKSTREAM_ISA {

void Linear(Element element, const LinearCall& call, Range panels, Range rows) {
  if (element == Element::kFloat32) return Panels<Float32>(call, panels, rows);
  Panels<Bfloat16>(call, panels, rows);
}

}  // namespace SINKSTREAM_ISA
}  // namespace sinkstream::kernels
