// WarmUp: a model's first steps, which are slower than all later ones (graphs are specialised,
// memory is touched), before anybody waits for them.
#pragma once

#include "absl/status/status.h"
#include "engine/model.h"

namespace sinkstream {

// A short prompt and two tokens behind it, in the first block of the pool. Before an engine has the
// model: afterwards the block is as good as never used. A model that cannot do that serves nobody:
// the step's error.
absl::Status WarmUp(Model& model);

}  // namespace sinkstream
