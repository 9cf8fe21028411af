#include "engine/torch/ops/kernels_kv.h"

#include "engine/torch/ops/kernels_isa.h"

namespace sinkstream::kernels {
namespace {

// x[0, size) as it is stored. `to` has room for whole vectors.
void Narrow(const float* x, int size, float* to) {
  __builtin_memcpy(to, x, static_cast<size_t>(size) * sizeof(float));
}

// To the nearest, ties to even; NaN stays NaN.
void Narrow(const float* x, int size, uint16_t* to) {
  for (int d = 0; d < size; d += kLanes) {
    const Vec number = LoadFirst(x + d, size - d < kLanes ? size - d : kLanes);
    const BitVec bits = reinterpret_cast<BitVec>(number);
    const BitVec nearest = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    const BitVec rounded = number != number ? (bits >> 16) | 0x40 : nearest;
    *reinterpret_cast<LooseHalfVec*>(to + d) = __builtin_convertvector(rounded, LooseHalfVec);
  }
}

// Puts the numbers of a key that has zeros up to padded_dim.
template <typename Kv>
void PutKey(const AttentionCall& call, const float* x, int slot, typename Kv::Type* keys) {
  typename Kv::Type numbers[kMaxHeadDim];
  Narrow(x, call.padded_dim, numbers);
  for (int d = 0; d < call.padded_dim; d += Kv::kPack) {
    __builtin_memcpy(keys + d * kBlockTokens + slot * Kv::kPack, numbers + d,
                     Kv::kPack * sizeof(typename Kv::Type));
  }
}

template <typename Kv>
void PutValue(const AttentionCall& call, const float* x, int slot, typename Kv::Type* values) {
  typename Kv::Type numbers[kMaxHeadDim];
  Narrow(x, call.head_dim, numbers);
  auto* const to = values + slot / Kv::kPack * Kv::kPack * call.padded_dim + slot % Kv::kPack;
  for (int d = 0; d < call.head_dim; ++d) to[d * Kv::kPack] = numbers[d];
}

// Puts codes `stride` apart and their scale where the slot's is. `x` has zeros up to padded_dim.
void PutCodes(const AttentionCall& call, const float* x, int slot, int8_t* part, int offset,
              int stride) {
  int8_t codes[kMaxHeadDim];
  IntVec sums = {};
  const float scale = RoundToBytes(x, call.padded_dim, codes, sums);
  for (int d = 0; d < call.head_dim; ++d) part[offset + d * stride] = codes[d];
  __builtin_memcpy(part + kBlockTokens * call.padded_dim + slot * int{sizeof scale}, &scale,
                   sizeof scale);
}

template <typename Kv>
void WriteRows(const AttentionCall& call, Range rows) {
  float key[kMaxHeadDim];
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    const KvSlot at = call.slots[row];
    const float* keys = call.qkv + row * QkvStride(call) + call.heads * call.head_dim;
    for (int head = 0; head < call.kv_heads; ++head) {
      Rotate(keys + head * call.head_dim, RotaryOf(call, row, false), call, 1.0f, key);
      const float* value = keys + (call.kv_heads + head) * call.head_dim;
      auto* to = BlockOf<Kv>(call, at.block, head);
      auto* values_to = to + PartOf<Kv>(call);
      if constexpr (kScaled<Kv>) {
        PutCodes(call, key, at.slot, to, at.slot, kBlockTokens);
        __builtin_memcpy(key, value, static_cast<size_t>(call.head_dim) * sizeof(float));
        PutCodes(call, key, at.slot, values_to, at.slot * call.padded_dim, 1);
      } else {
        PutKey<Kv>(call, key, at.slot, to);
        PutValue<Kv>(call, value, at.slot, values_to);
      }
    }
  }
}

}  // namespace

namespace SINKSTREAM_ISA {

void WriteKv(Element element, const AttentionCall& call, Range rows) {
  WithKv(element, [&]<typename Kv>(Kv) { WriteRows<Kv>(call, rows); });
}

}  // namespace SINKSTREAM_ISA
}  // namespace sinkstream::kernels
