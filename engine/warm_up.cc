#include "engine/warm_up.h"

#include <vector>

namespace sinkstream {

absl::Status WarmUp(Model& model) {
  const int32_t block_tokens = model.Spec().block_tokens;
  const std::vector<TokenId> tokens(block_tokens, 0);
  const BlockId block = 0;
  StepSequence sequence;
  sequence.window = block_tokens;
  sequence.recent_blocks = absl::MakeConstSpan(&block, 1);
  for (const int32_t rows : {block_tokens - 2, 1, 1}) {
    if (rows < 1 || sequence.start + rows > block_tokens) continue;
    sequence.tokens = absl::MakeConstSpan(tokens).first(rows);
    const auto logits = model.Step({{sequence}});
    if (!logits.ok()) return logits.status();
    sequence.start += rows;
  }
  return absl::OkStatus();
}

}  // namespace sinkstream
