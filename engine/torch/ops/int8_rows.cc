#include "engine/torch/ops/int8_rows.h"

#include <cmath>
#include <cstring>

#include "engine/torch/ops/kernels.h"

namespace sinkstream {
namespace {

using kernels::kPanelOutputs;

constexpr int64_t kWord = 4;
constexpr int64_t kScale = sizeof(float);

int64_t PanelBytes(int64_t in) { return kPanelOutputs * Int8RowBytes(in); }

// Where the packed parts of a row are.
struct Place {
  int64_t words;  // the first one; the next is a panel's words further
  int64_t scale;
};

Place PlaceOf(int64_t output, int64_t in) {
  const int64_t panel = output / kPanelOutputs * PanelBytes(in), lane = output % kPanelOutputs;
  return {panel + lane * kWord, panel + kPanelOutputs * in + lane * kScale};
}

int64_t At(const Place& place, int64_t input) {
  return place.words + input / kWord * kWord * kPanelOutputs + input % kWord;
}

float Float(const uint8_t* from) {
  float value = 0;
  std::memcpy(&value, from, sizeof value);
  return value;
}

}  // namespace

size_t PackedInt8RowsBytes(int64_t out, int64_t in) {
  const int64_t panels = (out + kPanelOutputs - 1) / kPanelOutputs;
  return static_cast<size_t>(panels * PanelBytes(in));
}

void PackInt8Rows(const uint8_t* rows, int64_t out, int64_t in, uint8_t* packed) {
  for (int64_t output = 0; output < out; ++output, rows += Int8RowBytes(in)) {
    const Place place = PlaceOf(output, in);
    std::memcpy(packed + place.scale, rows, kScale);
    for (int64_t i = 0; i < in; ++i) packed[At(place, i)] = rows[kScale + i];
  }
}

void UnpackInt8Rows(const uint8_t* packed, int64_t out, int64_t in, uint8_t* rows) {
  for (int64_t output = 0; output < out; ++output, rows += Int8RowBytes(in)) {
    const Place place = PlaceOf(output, in);
    std::memcpy(rows, packed + place.scale, kScale);
    for (int64_t i = 0; i < in; ++i) rows[kScale + i] = packed[At(place, i)];
  }
}

void DequantizeInt8Row(const uint8_t* packed, int64_t output, int64_t in, float* to) {
  const Place place = PlaceOf(output, in);
  const float scale = Float(packed + place.scale);
  for (int64_t i = 0; i < in; ++i) {
    to[i] = scale * static_cast<float>(static_cast<int8_t>(packed[At(place, i)]));
  }
}

int64_t FirstInt8RowNotFinite(const uint8_t* rows, int64_t out, int64_t in) {
  for (int64_t output = 0; output < out; ++output, rows += Int8RowBytes(in)) {
    if (!std::isfinite(Float(rows))) return output;
  }
  return -1;
}

}  // namespace sinkstream
