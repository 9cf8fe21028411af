// How much of its attention a row pays to the pinned tokens: what an operator sees of the sinks at
// work. Computed apart from the kernels, from the definition and the keys they have written: plain,
// on one thread, without memory of its own, for a row now and then. No torch.
#pragma once

#include <cstdint>

#include "engine/torch/ops/kernels.h"

namespace sinkstream {

// Most scores of a look, each of a token under a head: some ten milliseconds where a head has 128
// numbers. A row that sees more tokens is looked at under fewer heads.
inline constexpr int64_t kMostProbedScores = int64_t{1} << 18;

// Of row `row` of `call`, which lies in `tile`: the softmax weight of the pinned tokens that it
// sees, the mean over all heads, or over as many, evenly spaced, as kMostProbedScores allows. In
// [0, 1]; 1 if it sees no others, NaN where the scores hold one. Every visible key has been
// written.
double PinnedAttention(kernels::Element element, const kernels::AttentionCall& call,
                       const kernels::AttentionTile& tile, int64_t row);

}  // namespace sinkstream
