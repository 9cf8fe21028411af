#include "server/memory_limit.h"

#include "engine/outbox.h"

namespace sinkstream {
namespace {

int64_t SessionBytes(const EngineLimits& limits) {
  const int64_t requests = int64_t{limits.max_queued_requests} + 1;
  const int64_t request_bytes = limits.max_request_tokens * static_cast<int64_t>(sizeof(TokenId));
  return static_cast<int64_t>(Outbox::kManyBytes) + requests * request_bytes;
}

}  // namespace

int64_t MemoryLimit(const ModelSpec& spec, const EngineLimits& limits, int64_t ready) {
  const int64_t shared = spec.num_blocks * spec.block_bytes + limits.distribution_bytes +
                         static_cast<int64_t>(kGrpcMemory + limits.inbox.bytes);
  return ready + shared + limits.max_sessions * SessionBytes(limits);
}

}  // namespace sinkstream
