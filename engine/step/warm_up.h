// WarmUp: a model's first steps, which are slower than all later ones (graphs are specialised,
// memory is touched), before anybody waits for them.
#pragma once

#include "absl/status/status.h"
#include "engine/model.h"

namespace sinkstream {

// Prompts of one row, of two and of 64, over several blocks, and two tokens behind the last; in the
// first blocks of the pool, and less where it is smaller. Before an engine has the model:
// afterwards the blocks are as good as never used. A model that cannot do that serves nobody: the
// step's error.
absl::Status WarmUp(Model& model);

}  // namespace sinkstream
