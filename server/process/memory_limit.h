// MemoryLimit: the most memory that the process takes, in bytes, by the limits of its parts.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/model.h"
#include "engine/options.h"

namespace sinkstream {

// What gRPC may hold for all connections, as its resource quota.
inline constexpr size_t kGrpcMemory = size_t{512} << 20;

// The sum of
// - `ready`: what the process has in RAM with the model warm and nobody served: weights, libraries;
// - the KV pool, told distributions, kGrpcMemory, calls that wait for the engine, and as much of
//   those that wait for a session on disk;
// - for each session, an outbox full of scores and as much taken out of it, and as many tokens as
//   its requests may bring.
// Not in it: what an allocator keeps of what was freed, a step's last events, ids and settings.
int64_t MemoryLimit(const ModelSpec& spec, const EngineLimits& limits, int64_t ready);

}  // namespace sinkstream
