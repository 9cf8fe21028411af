// What a server says of itself when it starts.
#pragma once

#include <string>

#include "engine/engine.h"

namespace sinkstream {

// Lines: version, model, instructions and threads, KV memory and how many sessions of the default
// size it holds.
std::string StartFacts(const Engine& engine);

}  // namespace sinkstream
