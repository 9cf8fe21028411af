// Groups of packed quantised weights (quantized_blocks.h) as the kernels read them. For the
// kernels_quantized*.cc files alone (simd.h says why).
#pragma once

#include "engine/torch/ops/simd_quantized.h"

namespace sinkstream::kernels {
namespace {

constexpr int kWordBytes = kPanelOutputs * 4;  // a word of every output
constexpr int kScaleBytes = kPanelOutputs * 2;

// Load gives the words `i` and `i + 4` of some outputs as AddProducts takes them; kZero is what the
// codes then have too much.
struct Bytes {
  static constexpr int kCodeBytes = 8 * kWordBytes;
  static constexpr int kZero = kSignOffset;
  static constexpr bool kMinima = false;
  static void Load(const uint8_t* codes, int i, CodeVec& first, CodeVec& second) {
    first = LoadCodes(codes + i * kWordBytes) ^ static_cast<uint8_t>(kSignOffset);
    second = LoadCodes(codes + (i + 4) * kWordBytes) ^ static_cast<uint8_t>(kSignOffset);
  }
};

template <int kCentre, bool kWithMinima>
struct Nibbles {
  static constexpr int kCodeBytes = 4 * kWordBytes;
  static constexpr int kZero = kCentre;
  static constexpr bool kMinima = kWithMinima;
  static void Load(const uint8_t* codes, int i, CodeVec& first, CodeVec& second) {
    const CodeVec both = LoadCodes(codes + i * kWordBytes);
    first = both & 15;
    second = both >> 4;
  }
};

template <typename Format>
constexpr int kGroupBytes = Format::kCodeBytes + (Format::kMinima ? 2 : 1) * kScaleBytes;

// Asks for the weights some groups after `group`: the processor by itself stops at each page's end.
template <typename Format>
inline void PrefetchAfter(const uint8_t* group) {
  // A number, as no pointer may be beyond the end of what it points into.
  const auto* ahead = reinterpret_cast<const uint8_t*>(reinterpret_cast<uintptr_t>(group) + 3072);
#pragma GCC unroll 32
  for (int line = 0; line < kGroupBytes<Format>; line += 64) {
    __builtin_prefetch(ahead + line);
  }
}

// Scales and minima of the outputs of one vector.
template <typename Format>
struct Scales {
  Scales() = default;
  explicit Scales(const uint8_t* from)
      : scale(LoadHalf(from)), minimum(Format::kMinima ? LoadHalf(from + kScaleBytes) : Vec{}) {}
  // `sums` and what a group adds to them.
  Vec Add(Vec sums, IntVec exact, const ActivationGroup& activations) const {
    sums += scale * activations.scale * __builtin_convertvector(exact, Vec);
    if (Format::kMinima) sums += minimum * activations.scaled_sum;
    return sums;
  }
  Vec scale;
  Vec minimum;
};

// Calls `run` with an object of the element's format.
template <typename Run>
void WithFormat(Element element, Run run) {
  if (element == Element::kQ8_0) return run(Bytes());
  if (element == Element::kQ4_0) return run(Nibbles<8, false>());
  run(Nibbles<0, true>());
}

}  // namespace
}  // namespace sinkstream::kernels
