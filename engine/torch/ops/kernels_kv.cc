#include "engine/torch/ops/kernels_kv.h"

#include "engine/torch/ops/kernels_isa.h"

namespace sinkstream::kernels {
namespace {

// x[0, padded_dim) as it is stored, in `room` unless it is stored as it is. A scale goes to its
// place in `part`.
const float* Narrow(const AttentionCall&, const float* x, int, float*, float*) { return x; }

// To the nearest, ties to even; NaN stays NaN.
const uint16_t* Narrow(const AttentionCall& call, const float* x, int, uint16_t*, uint16_t* room) {
  for (int d = 0; d < call.padded_dim; d += kLanes) {
    const Vec number = Load(x + d);
    const BitVec bits = reinterpret_cast<BitVec>(number);
    const BitVec nearest = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    const BitVec rounded = number != number ? (bits >> 16) | 0x40 : nearest;
    *reinterpret_cast<LooseHalfVec*>(room + d) = __builtin_convertvector(rounded, LooseHalfVec);
  }
  return room;
}

const int8_t* Narrow(const AttentionCall& call, const float* x, int slot, int8_t* part,
                     int8_t* room) {
  IntVec sums = {};
  const float scale = RoundToCodes<127>(x, call.padded_dim, room, sums);
  __builtin_memcpy(part + kBlockTokens * call.padded_dim + slot * int{sizeof scale}, &scale,
                   sizeof scale);
  return room;
}

// Puts the numbers of a key, which has zeros up to padded_dim.
template <typename Kv>
void PutKey(const AttentionCall& call, const typename Kv::Type* numbers, int slot,
            typename Kv::Type* keys) {
  for (int d = 0; d < call.padded_dim; d += Kv::kPack) {
    __builtin_memcpy(keys + d * kBlockTokens + slot * Kv::kPack, numbers + d,
                     Kv::kPack * sizeof(typename Kv::Type));
  }
}

template <typename Kv>
void PutValue(const AttentionCall& call, const typename Kv::Type* numbers, int slot,
              typename Kv::Type* values) {
  auto* const to = values + slot / Kv::kPack * Kv::kPack * call.padded_dim + slot % Kv::kPack;
  for (int d = 0; d < call.head_dim; ++d) to[d * Kv::kPack] = numbers[d];
}

template <typename Kv>
void WriteRows(const AttentionCall& call, Range rows) {
  float x[kMaxHeadDim];
  typename Kv::Type room[kMaxHeadDim];
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    const KvSlot at = call.slots[row];
    const float* keys = call.qkv + row * QkvStride(call) + call.heads * call.head_dim;
    for (int head = 0; head < call.kv_heads; ++head) {
      auto* const to = BlockOf<Kv>(call, at.block, head);
      auto* const values_to = to + PartOf<Kv>(call);
      Rotate(keys + head * call.head_dim, RotaryOf(call, row, false), call, 1.0f, x);
      PutKey<Kv>(call, Narrow(call, x, at.slot, to, room), at.slot, to);
      const float* value = keys + (call.kv_heads + head) * call.head_dim;
      // Behind head_dim x keeps the zeros that Rotate has put there.
      __builtin_memcpy(x, value, static_cast<size_t>(call.head_dim) * sizeof(float));
      PutValue<Kv>(call, Narrow(call, x, at.slot, values_to, room), at.slot, values_to);
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
