#include "engine/torch/ops/packed_matrix.h"

#include <algorithm>
#include <bit>
#include <cstring>

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

}  // namespace

PackedMatrix::PackedMatrix(Element element, const void* weights, int64_t out, int64_t in,
                           const float* bias)
    : element_(element), out_(out), in_(in) {
  const auto padded = static_cast<size_t>(panels() * kPanelOutputs);
  const size_t element_bytes = element == Element::kFloat32 ? 4 : 2;
  weights_ = AllocateHuge(padded * static_cast<size_t>(in) * element_bytes);
  if (element == Element::kFloat32) {
    Pack(static_cast<const float*>(weights), out, in, static_cast<float*>(weights_.data));
  } else {
    Pack(static_cast<const uint16_t*>(weights), out, in, static_cast<uint16_t*>(weights_.data));
  }
  if (bias == nullptr) return;
  bias_ = AllocateHuge(padded * sizeof(float));
  std::memcpy(bias_.data, bias, static_cast<size_t>(out) * sizeof(float));
}

void PackedMatrix::Unpack(void* to) const {
  if (element_ == Element::kFloat32) return UnpackAll(data(), out_, in_, static_cast<float*>(to));
  UnpackAll(data(), out_, in_, static_cast<uint16_t*>(to));
}

void PackedMatrix::CopyRow(int64_t output, float* to) const {
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
