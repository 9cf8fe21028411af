#include "engine/torch/ops/quantized_blocks.h"

#include <bit>
#include <cmath>
#include <cstring>

namespace sinkstream {
namespace {

using kernels::Element;
using kernels::kBlockInputs;
using kernels::kPanelOutputs;

constexpr int kWord = 4;
constexpr int kMostBlockBytes = 34;

int Halves(Element element) { return element == Element::kQ4_1 ? 2 : 1; }
int Words(Element element) { return element == Element::kQ8_0 ? 8 : 4; }
int64_t CodeBytes(Element element) { return int64_t{Words(element)} * kWord * kPanelOutputs; }
int64_t GroupBytes(Element element) {
  return CodeBytes(element) + Halves(element) * kPanelOutputs * int64_t{sizeof(uint16_t)};
}

int64_t Panels(int64_t out) { return (out + kPanelOutputs - 1) / kPanelOutputs; }

// Where the packed parts of a block are.
struct Place {
  int64_t codes;   // of the first word; the next is a panel's words further
  int64_t halves;  // of the scale; the minimum is a panel's scales further
};

Place PlaceOf(Element element, int64_t output, int64_t group, int64_t groups) {
  const int64_t start = (output / kPanelOutputs * groups + group) * GroupBytes(element);
  const int64_t lane = output % kPanelOutputs;
  return {start + lane * kWord, start + CodeBytes(element) + lane * int64_t{sizeof(uint16_t)}};
}

// Calls `copy` with the place in a block and the place in what is packed of each part and its size.
template <typename Copy>
void ForParts(Element element, const Place& place, Copy copy) {
  const int halves = Halves(element);
  for (int i = 0; i < halves; ++i) {
    copy(i * 2, place.halves + i * kPanelOutputs * 2, 2);
  }
  for (int i = 0; i < Words(element); ++i) {
    copy(halves * 2 + i * kWord, place.codes + i * kPanelOutputs * kWord, kWord);
  }
}

void ReadBlock(Element element, const uint8_t* packed, const Place& place, uint8_t* block) {
  ForParts(element, place, [&](int64_t at, int64_t from, size_t size) {
    std::memcpy(block + at, packed + from, size);
  });
}

float Half(const uint8_t* from) {
  uint16_t bits = 0;
  std::memcpy(&bits, from, sizeof bits);
  // A float's exponent is biased by 112 more; the product is exact, of subnormal ones too.
  const float magnitude = std::bit_cast<float>(uint32_t{bits & 0x7fffu} << 13) * 0x1p112f;
  return (bits & 0x8000) != 0 ? -magnitude : magnitude;
}

void Dequantize(Element element, const uint8_t* block, float* to) {
  const float scale = Half(block);
  const uint8_t* codes = block + Halves(element) * 2;
  for (int i = 0; i < kBlockInputs; ++i) {
    if (element == Element::kQ8_0) {
      to[i] = scale * static_cast<float>(static_cast<int8_t>(codes[i]));
      continue;
    }
    const int code = i < 16 ? codes[i] & 15 : codes[i - 16] >> 4;
    const bool centred = element == Element::kQ4_0;
    to[i] = std::fma(scale, static_cast<float>(centred ? code - 8 : code),
                     centred ? 0.0f : Half(block + 2));
  }
}

}  // namespace

bool IsBlocks(Element element) {
  return element == Element::kQ4_0 || element == Element::kQ4_1 || element == Element::kQ8_0;
}

int64_t BlockBytes(Element element) { return Halves(element) * 2 + Words(element) * kWord; }

size_t PackedBlockBytes(Element element, int64_t out, int64_t in) {
  return static_cast<size_t>(Panels(out) * (in / kBlockInputs) * GroupBytes(element));
}

void PackBlocks(Element element, const uint8_t* blocks, int64_t out, int64_t in, uint8_t* packed) {
  const int64_t groups = in / kBlockInputs;
  for (int64_t output = 0; output < out; ++output) {
    for (int64_t group = 0; group < groups; ++group, blocks += BlockBytes(element)) {
      ForParts(element, PlaceOf(element, output, group, groups),
               [&](int64_t at, int64_t to, size_t size) {
                 std::memcpy(packed + to, blocks + at, size);
               });
    }
  }
}

void UnpackBlocks(Element element, const uint8_t* packed, int64_t out, int64_t in,
                  uint8_t* blocks) {
  const int64_t groups = in / kBlockInputs;
  for (int64_t output = 0; output < out; ++output) {
    for (int64_t group = 0; group < groups; ++group, blocks += BlockBytes(element)) {
      ReadBlock(element, packed, PlaceOf(element, output, group, groups), blocks);
    }
  }
}

void DequantizeRow(Element element, const uint8_t* packed, int64_t output, int64_t in, float* to) {
  const int64_t groups = in / kBlockInputs;
  uint8_t block[kMostBlockBytes];
  for (int64_t group = 0; group < groups; ++group, to += kBlockInputs) {
    ReadBlock(element, packed, PlaceOf(element, output, group, groups), block);
    Dequantize(element, block, to);
  }
}

int64_t FirstBlockNotFinite(Element element, const uint8_t* blocks, int64_t count) {
  constexpr uint16_t kExponent = 0x7c00;
  for (int64_t i = 0; i < count; ++i, blocks += BlockBytes(element)) {
    for (int half = 0; half < Halves(element); ++half) {
      uint16_t bits = 0;
      std::memcpy(&bits, blocks + half * 2, sizeof bits);
      if ((bits & kExponent) == kExponent) return i;
    }
  }
  return -1;
}

}  // namespace sinkstream
