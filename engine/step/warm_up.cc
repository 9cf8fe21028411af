#include "engine/step/warm_up.h"

#include <algorithm>
#include <vector>

namespace sinkstream {
namespace {

struct WarmStep {
  int64_t start;
  int64_t rows;
};

}  // namespace

absl::Status WarmUp(Model& model) {
  const ModelSpec& spec = model.Spec();
  const int64_t room = std::min<int64_t>(66, int64_t{spec.num_blocks} * spec.block_tokens);
  const int64_t prompt = std::max<int64_t>(1, room - 2);
  const std::vector<TokenId> tokens(static_cast<size_t>(prompt), 0);
  std::vector<BlockId> blocks;
  for (BlockId b = 0; int64_t{b} * spec.block_tokens < room; ++b) blocks.push_back(b);
  StepSequence sequence;
  sequence.window = room;
  sequence.recent_blocks = blocks;
  for (const auto& [start, rows] :
       {WarmStep{0, 1}, {0, 2}, {0, prompt}, {prompt, 1}, {prompt + 1, 1}}) {
    if (rows > prompt || start + rows > room) continue;
    sequence.start = start;
    sequence.tokens = absl::MakeConstSpan(tokens).first(static_cast<size_t>(rows));
    const auto given = model.Step({{sequence}});
    if (!given.ok()) return given.status();
  }
  return absl::OkStatus();
}

}  // namespace sinkstream
