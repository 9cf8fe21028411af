#include "server/process/memory_limit.h"

#include "engine/outbox.h"

namespace sinkstream {
namespace {

// Of a slow reader's events as many again wait as its stream has taken from the outbox already. One
// of the requests is a turn, which may be there in three encodings (UserTurn).
int64_t SessionBytes(const EngineLimits& limits) {
  const int64_t inputs = int64_t{limits.max_queued_requests} + 3;
  const int64_t input_bytes = limits.max_request_tokens * static_cast<int64_t>(sizeof(TokenId));
  return 2 * static_cast<int64_t>(Outbox::kManyBytes) + inputs * input_bytes;
}

}  // namespace

int64_t MemoryLimit(const ModelSpec& spec, const EngineLimits& limits, int64_t ready) {
  // Calls wait for the engine, and then for a session that is on disk.
  const int64_t shared = spec.num_blocks * spec.block_bytes + limits.distribution_bytes +
                         static_cast<int64_t>(kGrpcMemory + 2 * limits.inbox.bytes);
  return ready + shared + limits.max_sessions * SessionBytes(limits);
}

}  // namespace sinkstream
