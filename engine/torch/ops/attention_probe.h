// How much of its attention a row pays to the pinned tokens: what an operator sees of the sinks at
// work. Computed apart from the kernels, from the definition and the keys they have written: plain,
// on one thread, for a row now and then. No torch.
#pragma once

#include <cstdint>

#include "engine/torch/ops/kernels.h"

namespace sinkstream {

// Of row `row` of `call`, which lies in `tile`: the softmax weight of the pinned tokens that it
// sees, the mean over all heads. In [0, 1]; 1 if it sees no others, NaN where the scores hold one.
// Every visible key has been written.
double PinnedAttention(kernels::Element element, const kernels::AttentionCall& call,
                       const kernels::AttentionTile& tile, int64_t row);

}  // namespace sinkstream
