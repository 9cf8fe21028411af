#include "engine/session/session_parking.h"

#include <algorithm>
#include <utility>

#include "engine/check.h"

namespace sinkstream {
namespace {

constexpr absl::Duration kAfterFailure = absl::Seconds(30);

int64_t OwnBlockCount(const Session& session) {
  return static_cast<int64_t>(SessionPool::OwnBlocks(session).size());
}

bool IsIdle(const Session& session) {
  return session.cache == Session::Cache::kResident && session.outbox == nullptr &&
         session.claims == 0 && session.requests.empty() && session.reserved_blocks > 0;
}

}  // namespace

SessionParking::SessionParking(SessionPool& pool, BlockPark* park, EngineObserver& observer,
                               const Clock& clock)
    : pool_(pool), park_(park), observer_(observer), clock_(clock) {}

bool SessionParking::MakeRoom(int64_t blocks, const Session* returning) {
  bool idle_soon = false;
  for (const auto& [ticket, move] : moving_) {
    const Session& session = *move.session;
    if (session.cache == Session::Cache::kSaving) blocks -= session.reserved_blocks;
    idle_soon = idle_soon || session.claims == 0;
  }
  if (blocks <= 0) return true;
  if (park_ == nullptr || clock_.Now() < broken_until_) return false;
  const auto chosen = ChooseIdle(blocks, returning);
  for (Session* const session : chosen) {
    session->cache = Session::Cache::kSaving;
    session->ticket = park_->Save(SessionPool::OwnBlocks(*session));
    moving_[session->ticket] = {session, clock_.Now()};
  }
  return !chosen.empty() || idle_soon;
}

// Idle sessions that give up `blocks` together; none if all of them do not, or if the park has no
// room for them.
std::vector<Session*> SessionParking::ChooseIdle(int64_t blocks, const Session* returning) {
  std::vector<Session*> idle = pool_.All();
  std::erase_if(idle, [](const Session* session) { return !IsIdle(*session); });
  std::stable_sort(idle.begin(), idle.end(), [](const Session* a, const Session* b) {
    return a->detached_at < b->detached_at;
  });
  size_t held = 0, count = 0;
  for (; count < idle.size() && blocks > 0; ++count) {
    blocks -= idle[count]->reserved_blocks;
    held += SessionPool::OwnBlocks(*idle[count]).size();
  }
  const size_t given_back = returning ? SessionPool::OwnBlocks(*returning).size() : 0;
  const size_t tickets = count - std::min<size_t>(count, returning ? 1 : 0);
  if (blocks > 0 || !park_->HasRoom(tickets, held - std::min(held, given_back))) return {};
  idle.resize(count);
  return idle;
}

void SessionParking::Bring(Session& session) {
  SINKSTREAM_CHECK(session.cache == Session::Cache::kParked);
  pool_.TakeBlocksBack(session);
  --parked_;
  session.cache = Session::Cache::kLoading;
  moving_[session.ticket] = {&session, clock_.Now()};
  park_->Load(session.ticket, SessionPool::OwnBlocks(session));
}

SessionParking::Settled SessionParking::Settle(const BlockPark::Outcome& outcome,
                                               const SessionId& wanted) {
  const auto found = moving_.find(outcome.ticket);
  SINKSTREAM_CHECK(found != moving_.end());
  const Move move = found->second;
  Session& session = *move.session;
  moving_.erase(found);
  if (session.cache == Session::Cache::kSaving) {
    TellEnd(ParkOperation::kSave, outcome.status, move);
    SettleSave(session, outcome.status, session.id == wanted);
    return {&session, absl::OkStatus()};
  }
  TellEnd(ParkOperation::kLoad, outcome.status, move);
  park_->Drop(session.ticket);
  parked_blocks_ -= OwnBlockCount(session);
  session.cache = Session::Cache::kResident;
  return {&session, outcome.status};
}

void SessionParking::SettleSave(Session& session, const absl::Status& status, bool wanted) {
  if (status.ok() && !wanted) {
    pool_.GiveBlocksUp(session);
    session.cache = Session::Cache::kParked;
    ++parked_;
    parked_blocks_ += OwnBlockCount(session);
    return;
  }
  park_->Drop(session.ticket);
  session.cache = Session::Cache::kResident;
  if (!status.ok()) broken_until_ = clock_.Now() + kAfterFailure;
}

void SessionParking::TellEnd(ParkOperation operation, const absl::Status& status,
                             const Move& move) {
  ParkEnd end;
  end.operation = operation;
  end.status = status;
  end.bytes = OwnBlockCount(*move.session) * pool_.block_bytes();
  end.time = clock_.Now() - move.begun;
  observer_.OnParkEnd(end);
}

void SessionParking::Forget(Session& session) {
  if (session.cache != Session::Cache::kParked) return;
  park_->Drop(session.ticket);
  --parked_;
  parked_blocks_ -= OwnBlockCount(session);
}

}  // namespace sinkstream
