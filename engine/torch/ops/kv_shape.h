// Where keys and values lie: the shape of the tensor that a model's KV blocks are
// (docs/model_artifact.md). No torch.
#pragma once

#include <array>
#include <cstdint>

#include "engine/torch/ops/kernels.h"

namespace sinkstream {

// [layers, blocks, kv_heads, 2 (keys, values), 16 * D], D = head_dim rounded up to a multiple of
// 16. Requires sizes whose product is below 2^63.
inline std::array<int64_t, 5> KvShape(int64_t layers, int64_t blocks, int64_t kv_heads,
                                      int64_t head_dim) {
  const int64_t padded_dim = (head_dim + 15) / 16 * 16;
  return {layers, blocks, kv_heads, 2, kernels::kBlockTokens * padded_dim};
}

}  // namespace sinkstream
