// JoinDeltas: fewer messages for a slow reader.
#pragma once

#include <vector>

#include "engine/types.h"

namespace sinkstream {

// `events` in their order; deltas of one reply that follow each other become one.
std::vector<Event> JoinDeltas(std::vector<Event> events);

}  // namespace sinkstream
