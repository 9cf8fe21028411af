#include "engine/session/pool_stats.h"

namespace sinkstream {
namespace {

// A session whose cache is on disk holds no blocks, but for a prefix that it shares.
void Add(const Session& session, PoolStats& stats) {
  if (session.cache != Session::Cache::kParked) {
    stats.recent_blocks += static_cast<int32_t>(session.window.recent_blocks().size());
    stats.kv_tokens += session.window.visible();
  }
  if (session.requests.empty()) return;
  ++stats.running_requests;
  stats.paused_requests += session.paused ? 1 : 0;
  stats.waiting_requests += static_cast<int32_t>(session.requests.size()) - 1;
}

}  // namespace

PoolStats CountPool(const SessionPool& pool, const SessionParking& parking,
                    const DistributionBudget& distributions) {
  PoolStats stats;
  stats.sessions = static_cast<int32_t>(pool.size());
  stats.attached_sessions = static_cast<int32_t>(pool.attached());
  for (const Session* const session : pool.All()) Add(*session, stats);
  stats.blocks_used = pool.blocks().used();
  stats.blocks_reserved = pool.reserved_blocks();
  stats.blocks_total = pool.blocks().total();
  stats.block_bytes = pool.block_bytes();
  stats.kv_bytes_reserved = stats.blocks_reserved * stats.block_bytes;
  stats.parked_sessions = parking.parked_sessions();
  stats.parked_bytes = parking.parked_bytes();
  stats.distribution_bytes = distributions.TakenBytes();
  return stats;
}

}  // namespace sinkstream
