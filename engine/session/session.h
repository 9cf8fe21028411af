// Session: one client's conversation: its cache, its settings, its requests. It outlives streams,
// and a stream attaches to it through an outbox. Plain state: session_pool.h creates and ends
// sessions, engine/step/step_runner.h moves them on. One thread at a time: the engine thread, or
// that of the model which samples it (engine/step/step_sampler.h).
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "engine/kv/block_park.h"
#include "engine/kv/kv_window.h"
#include "engine/kv/shared_prefixes.h"
#include "engine/outbox.h"
#include "engine/session/prompt.h"
#include "engine/session/recent_tokens.h"
#include "engine/session/sequence.h"
#include "engine/session/speculation.h"
#include "engine/types.h"

namespace sinkstream {

struct Session {
  Session(SessionId session_id, std::string owner, SessionSettings session_settings,
          int32_t block_tokens)
      : id(std::move(session_id)),
        principal(std::move(owner)),
        settings(std::move(session_settings)),
        window(settings.sinks, settings.window, block_tokens) {}

  const SessionId id;
  const std::string principal;
  const SessionSettings settings;
  absl::Time opened;
  // Reserved in the pool for its own blocks, unless they are parked.
  int32_t reserved_blocks = 0;

  // Where its own blocks are. Transitions (session_parking.h): kResident -> kSaving -> kParked ->
  // kLoading -> kResident; kSaving -> kResident. A session with a stream is resident.
  enum class Cache { kResident, kSaving, kParked, kLoading };
  Cache cache = Cache::kResident;
  ParkTicket ticket = 0;  // unless resident
  // Streams that wait to be attached to it (admission.h): then it neither expires nor is parked.
  int32_t claims = 0;
  bool closes = false;  // its client has closed it; it is on its way to or from the park

  KvWindow window;
  SharedPrefixes::Key prefix;  // the pinned system prompt; empty tokens: none
  // Its blocks are those of SharedPrefixes, whose reservation is not this session's.
  bool shares_prefix = false;
  int64_t system_tokens = 0;                 // length of its system prompt, with which it begins
  Unread unread;                             // taken in, not yet fed
  TurnPlace turn_place = TurnPlace::kLater;  // of the next user turn, unless it opens the session
  RecentTokens recent;                       // the latest that it has read
  GuessRecord guesses;                       // how guesses at its replies have fared
  std::deque<Sequence> requests;             // the first one runs, the others wait

  // The attached stream; none: outbox is null and attachment 0.
  std::shared_ptr<Outbox> outbox;
  AttachmentId attachment = 0;
  std::optional<TraceContext> trace;  // of the latest stream
  bool half_closed = false;           // the client sends no more
  absl::Time detached_at;             // when outbox became null

  // Has a request that its reader keeps up with.
  bool CanGoOn() const { return !requests.empty() && (outbox == nullptr || outbox->HasRoom()); }

  // StepCandidate::planned_at. Of a new session, that of the latest one planned: it passes nobody.
  uint64_t planned_at = 0;
  // Has a request that waits for readers: its own, whose outbox is full, or those of distributions.
  bool paused = false;
};

}  // namespace sinkstream
