// Where keys and values lie: the shape of the tensor that a model's KV blocks are
// (docs/model_artifact.md). No torch.
#pragma once

#include <array>
#include <cstdint>

#include "engine/torch/ops/kernels.h"

namespace sinkstream {

// A head's dimensions with those that fill it up to a multiple of 16.
inline int64_t PaddedDim(int64_t head_dim) { return (head_dim + 15) / 16 * 16; }

// Elements that the keys of a block and head take, or its values: codes of int8 have their scales
// behind them, a float32 for each slot.
inline int64_t KvPart(kernels::Element element, int64_t padded_dim) {
  const int64_t scales = element == kernels::Element::kInt8 ? kernels::kKvScaleBytes : 0;
  return kernels::kBlockTokens * padded_dim + scales;
}

// [layers, blocks, kv_heads, 2 (keys, values), KvPart]. Requires sizes whose product is below 2^63.
inline std::array<int64_t, 5> KvShape(kernels::Element element, int64_t layers, int64_t blocks,
                                      int64_t kv_heads, int64_t head_dim) {
  return {layers, blocks, kv_heads, 2, KvPart(element, PaddedDim(head_dim))};
}

}  // namespace sinkstream
