#include "engine/torch/ops/cpu_features.h"

// Emulated ones are everywhere.
bool sinkstream::HasTiles() { return true; }
