#include "engine/torch/ops/packed_matrix.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "engine/torch/ops/int8_rows.h"
#include "engine/torch/ops/quantized_blocks.h"

namespace sinkstream {
namespace {

using kernels::Element;
using kernels::kPanelOutputs;

template <typename T>
void Pack(const T* from, int64_t out, int64_t in, T* to) {
  for (int64_t first = 0; first < out; first += kPanelOutputs, to += in * kPanelOutputs) {
    const int64_t count = std::min<int64_t>(kPanelOutputs, out - first);
    for (int64_t output = 0; output < count; ++output) {
      const T* row = from + (first + output) * in;
      for (int64_t k = 0; k < in; ++k) to[k * kPanelOutputs + output] = row[k];
    }
  }
}

template <typename T>
const T* RowStart(const void* panels, int64_t output, int64_t in) {
  return static_cast<const T*>(panels) + output / kPanelOutputs * in * kPanelOutputs +
         output % kPanelOutputs;
}

template <typename T>
void UnpackAll(const void* panels, int64_t out, int64_t in, T* to) {
  for (int64_t output = 0; output < out; ++output, to += in) {
    const T* row = RowStart<T>(panels, output, in);
    for (int64_t k = 0; k < in; ++k) to[k] = row[k * kPanelOutputs];
  }
}

uint8_t* Bytes(void* data) { return static_cast<uint8_t*>(data); }
const uint8_t* Bytes(const void* data) { return static_cast<const uint8_t*>(data); }

size_t PackedBytes(Element element, size_t padded_out, int64_t in) {
  const auto out = static_cast<int64_t>(padded_out);
  if (element == Element::kInt8Rows) return PackedInt8RowsBytes(out, in);
  if (IsBlocks(element)) return PackedBlockBytes(element, out, in);
  return padded_out * static_cast<size_t>(in) * (element == Element::kFloat32 ? 4 : 2);
}

}  // namespace

const char* DtypeName(Element element) {
  switch (element) {
    case Element::kFloat32:
      return "float32";
    case Element::kBfloat16:
      return "bfloat16";
    case Element::kInt8:
    case Element::kQ8_0:
    case Element::kInt8Rows:
      return "int8";
    default:
      return "int4";
  }
}

bool IsQuantized(Element element) { return IsBlocks(element) || element == Element::kInt8Rows; }

int64_t PackedMatrix::group() const {
  return element_ == Element::kInt8Rows ? kInt8RowGroup : kernels::kBlockInputs;
}

PackedMatrix::PackedMatrix(Element element, const void* weights, int64_t out, int64_t in,
                           const float* bias)
    : element_(element), out_(out), in_(in) {
  const auto padded = static_cast<size_t>(panels() * kPanelOutputs);
  weights_ = AllocateHuge(PackedBytes(element, padded, in));
  if (element == Element::kInt8Rows) {
    PackInt8Rows(Bytes(weights), out, in, Bytes(weights_.data));
  } else if (IsBlocks(element)) {
    PackBlocks(element, Bytes(weights), out, in, Bytes(weights_.data));
  } else if (element == Element::kFloat32) {
    Pack(static_cast<const float*>(weights), out, in, static_cast<float*>(weights_.data));
  } else {
    Pack(static_cast<const uint16_t*>(weights), out, in, static_cast<uint16_t*>(weights_.data));
  }
  if (bias == nullptr) return;
  bias_ = AllocateHuge(padded * sizeof(float));
  std::memcpy(bias_.data, bias, static_cast<size_t>(out) * sizeof(float));
}

void PackedMatrix::Unpack(void* to) const {
  if (element_ == Element::kInt8Rows) return UnpackInt8Rows(Bytes(data()), out_, in_, Bytes(to));
  if (IsBlocks(element_)) return UnpackBlocks(element_, Bytes(data()), out_, in_, Bytes(to));
  if (element_ == Element::kFloat32) return UnpackAll(data(), out_, in_, static_cast<float*>(to));
  UnpackAll(data(), out_, in_, static_cast<uint16_t*>(to));
}

void PackedMatrix::CopyRow(int64_t output, float* to) const {
  if (element_ == Element::kInt8Rows) return DequantizeInt8Row(Bytes(data()), output, in_, to);
  if (IsBlocks(element_)) return DequantizeRow(element_, Bytes(data()), output, in_, to);
  if (element_ == Element::kFloat32) {
    const float* row = RowStart<float>(data(), output, in_);
    for (int64_t k = 0; k < in_; ++k) to[k] = row[k * kPanelOutputs];
    return;
  }
  const uint16_t* row = RowStart<uint16_t>(data(), output, in_);
  for (int64_t k = 0; k < in_; ++k) {
    to[k] = std::bit_cast<float>(uint32_t{row[k * kPanelOutputs]} << 16);
  }
}

}  // namespace sinkstream
