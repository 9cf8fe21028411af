// Packed quantised weights (quantized_blocks.h, int8_rows.h) as the kernels read them: in groups of
// 32 or 64 inputs. For the kernels_quantized*.cc files alone (simd.h says why).
#pragma once

#include "engine/torch/ops/simd_quantized.h"

namespace sinkstream::kernels {
namespace {

constexpr int kWordBytes = kPanelOutputs * 4;  // a word of every output
constexpr int kScaleBytes = kPanelOutputs * 2;

// Load gives the words `i` and `i + 4` of 32 inputs of some outputs as ExactSum takes them;
// kZero is what the codes then have too much. kRowScales: all groups of an output share one scale,
// by which their sum is multiplied in the end.
template <int kInputs>
struct SignedBytes {
  static constexpr int kGroup = kInputs;
  static constexpr int kCodeBytes = kInputs / 4 * kWordBytes;
  static constexpr int kZero = kSignOffset;
  static constexpr bool kNibbles = false;
  static constexpr bool kMinima = false;
  static void Load(const uint8_t* codes, int i, CodeVec& first, CodeVec& second) {
    first = LoadCodes(codes + i * kWordBytes) ^ static_cast<uint8_t>(kSignOffset);
    second = LoadCodes(codes + (i + 4) * kWordBytes) ^ static_cast<uint8_t>(kSignOffset);
  }
};

struct BlocksOfBytes : SignedBytes<kBlockInputs> {
  static constexpr bool kRowScales = false;
};

struct RowsOfBytes : SignedBytes<2 * kBlockInputs> {
  static constexpr bool kRowScales = true;
};

template <int kCentre, bool kWithMinima>
struct Nibbles {
  static constexpr int kGroup = kBlockInputs;
  static constexpr int kCodeBytes = 4 * kWordBytes;
  static constexpr int kZero = kCentre;
  static constexpr bool kNibbles = true;
  static constexpr bool kMinima = kWithMinima;
  static constexpr bool kRowScales = false;
  static void Load(const uint8_t* codes, int i, CodeVec& first, CodeVec& second) {
    const CodeVec both = LoadCodes(codes + i * kWordBytes);
    first = both & 15;
    second = both >> 4;
  }
};

// Of a group: its codes, and their scales and minima unless rows have them.
template <typename Format>
constexpr int kGroupBytes =
    Format::kCodeBytes + (Format::kRowScales ? 0 : (Format::kMinima ? 2 : 1) * kScaleBytes);

// A panel: its groups, then the scales of its rows.
template <typename Format>
int64_t PanelBytes(const QuantizedLinearCall& call) {
  const int64_t row_scales = Format::kRowScales ? kPanelOutputs * int64_t{sizeof(float)} : 0;
  return call.in / Format::kGroup * kGroupBytes<Format> + row_scales;
}

template <typename Format>
const uint8_t* PanelOf(const QuantizedLinearCall& call, int64_t panel) {
  return static_cast<const uint8_t*>(call.panels) + panel * PanelBytes<Format>(call);
}

// Of a panel whose rows have scales.
template <typename Format>
const float* RowScalesOf(const QuantizedLinearCall& call, const uint8_t* panel) {
  return reinterpret_cast<const float*>(panel + call.in / Format::kGroup * kGroupBytes<Format>);
}

// Bytes ahead of what is at work: far enough to have come from memory by then.
constexpr int64_t kSoon = 3072;

// Asks for the weights some groups after `group`: the processor by itself stops at each page's end.
template <typename Format>
inline void PrefetchAfter(const uint8_t* group) {
  // A number, as no pointer may be beyond the end of what it points into.
  const auto* ahead = reinterpret_cast<const uint8_t*>(reinterpret_cast<uintptr_t>(group) + kSoon);
#pragma GCC unroll 32
  for (int line = 0; line < kGroupBytes<Format>; line += 64) {
    __builtin_prefetch(ahead + line);
  }
}

// Scales and minima that a group has for the outputs of one vector.
template <typename Format>
struct Scales {
  Scales() = default;
  // `from`: those of the panel's first output, `output` outputs before.
  Scales(const uint8_t* from, int output)
      : scale(Format::kRowScales ? Vec{} : LoadHalf(from + output * 2)),
        minimum(Format::kMinima ? LoadHalf(from + kScaleBytes + output * 2) : Vec{}) {}
  // `sums` and what a group adds to them.
  Vec Add(Vec sums, IntVec exact, const ActivationGroup& activations) const {
    const Vec products = __builtin_convertvector(exact, Vec);
    if constexpr (Format::kRowScales) return sums + activations.scale * products;
    sums += scale * activations.scale * products;
    if (Format::kMinima) sums += minimum * activations.scaled_sum;
    return sums;
  }
  Vec scale;
  Vec minimum;
};

// The sums of all groups times the scales that rows have, from `output` of the panel on; rounded,
// whatever is added to it next.
template <typename Format>
Vec TimesRowScales(Vec sums, const QuantizedLinearCall& call, const uint8_t* panel, int output) {
  if constexpr (!Format::kRowScales) return sums;
  sums *= Load(RowScalesOf<Format>(call, panel) + output);
  Settle(sums);
  return sums;
}

// Calls `run` with an object of the element's format.
template <typename Run>
void WithFormat(Element element, Run run) {
  if (element == Element::kInt8Rows) return run(RowsOfBytes());
  if (element == Element::kQ8_0) return run(BlocksOfBytes());
  if (element == Element::kQ4_0) return run(Nibbles<8, false>());
  run(Nibbles<0, true>());
}

}  // namespace
}  // namespace sinkstream::kernels
