#include "engine/torch/ops/kernels_kv.h"

#include "engine/torch/ops/kernels_isa.h"

namespace sinkstream::kernels {
namespace {

// Puts the numbers of a key, or of a value, `stride` apart.
template <typename Kv>
void Put(const float* x, int size, typename Kv::Type* to, int stride) {
  for (int d = 0; d < size; ++d) to[d * stride] = Kv::Narrow(x[d]);
}

// Puts codes `stride` apart and their scale where the slot's is. `x` has room for whole vectors.
void PutCodes(const AttentionCall& call, float* x, int slot, int8_t* part, int offset, int stride) {
  int8_t codes[kMaxHeadDim];
  IntVec sums = {};
  for (int d = call.head_dim; d < call.padded_dim; ++d) x[d] = 0;
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
        Put<Kv>(key, call.head_dim, to + at.slot, kBlockTokens);
        Put<Kv>(value, call.head_dim, values_to + at.slot * call.padded_dim, 1);
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
