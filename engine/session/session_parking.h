// SessionParking: under pressure for KV memory, moves the caches of sessions without a stream to a
// BlockPark and brings them back, bit for bit, when a stream attaches again (docs/adr/0007). It
// keeps no session's place in memory for it: a parked session comes back when there is room. Engine
// thread only.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "engine/clock.h"
#include "engine/kv/block_park.h"
#include "engine/observer.h"
#include "engine/session/session_pool.h"

namespace sinkstream {

class SessionParking {
 public:
  // All outlive this. `park`: null if nothing is ever parked.
  SessionParking(SessionPool& pool, BlockPark* park, EngineObserver& observer, const Clock& clock);

  // Sees to it that `blocks` more will be left in the pool. What counts, in this order:
  //   - blocks of sessions that are being saved already;
  //   - blocks of idle sessions, those without a stream for longest first: they begin to be saved.
  // True if that will do, or may do because a session that no stream waits for is on its way from
  // or to the park and will be idle then. Else false, and nothing has begun. `returning`: the
  // parked session that the room is for, or null: its copies leave the park, so those that it
  // displaces may take their place.
  bool MakeRoom(int64_t blocks, const Session* returning = nullptr);

  // Begins to bring a parked session back. Requires: the pool has its blocks left.
  void Bring(Session& session);

  struct Settled {
    Session* session = nullptr;
    absl::Status lost;  // not OK: its cache could not be read back; the session can only be closed
  };
  // What was begun has ended. A session that is `wanted` stays in memory.
  Settled Settle(const BlockPark::Outcome& outcome, const SessionId& wanted);

  // `session` is about to be closed.
  void Forget(Session& session);

  int32_t parked_sessions() const { return parked_; }
  int64_t parked_bytes() const { return parked_blocks_ * pool_.block_bytes(); }

 private:
  struct Move {
    Session* session = nullptr;
    absl::Time begun;
  };

  std::vector<Session*> ChooseIdle(int64_t blocks, const Session* returning);
  void SettleSave(Session& session, const absl::Status& status, bool wanted);
  void TellEnd(ParkOperation operation, const absl::Status& status, const Move& move);

  SessionPool& pool_;
  BlockPark* const park_;
  EngineObserver& observer_;
  const Clock& clock_;
  std::map<ParkTicket, Move> moving_;               // being saved or loaded
  absl::Time broken_until_ = absl::InfinitePast();  // no saves after one has failed
  int32_t parked_ = 0;
  int64_t parked_blocks_ = 0;  // on their way back too
};

}  // namespace sinkstream
