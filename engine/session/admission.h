// Admission: the streams that ask for a session, in the order in which they came. Most are answered
// at once; one whose session has to be brought back from the park, or that needs memory which idle
// sessions are giving up, waits, and those behind it with it, for as long as the disk takes. What
// would not fit even then is refused. Engine thread only.
#pragma once

#include <deque>
#include <functional>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/clock.h"
#include "engine/commands.h"
#include "engine/observer.h"
#include "engine/options.h"
#include "engine/session/session_parking.h"
#include "engine/session/session_pool.h"

namespace sinkstream {

class Admission {
 public:
  struct Arrival {
    OpenCommand open;
    std::vector<Command> then;  // what its stream has asked for since
    absl::StatusOr<Session*> session = nullptr;
  };

  // All outlive it.
  struct Parts {
    SessionPool& pool;
    SessionParking& parking;
    EngineObserver& observer;
    const Clock& clock;
    std::function<uint64_t()> random;  // as in Scheduler::Parts
  };

  Admission(const EngineOptions& options, const ModelSpec& spec, Parts parts);

  // Refused with RESOURCE_EXHAUSTED, QUEUE_FULL, beyond InboxLimits::bytes of all that wait and of
  // what they have asked for; one alone may have more.
  void Arrive(OpenCommand command);

  // The next stream that can be answered, with its session or the refusal; nothing if none can.
  // Call after whatever may have changed that.
  std::optional<Arrival> Next();

  // Keeps `command` for later if it is of a stream that waits. A request (turn or append) beyond
  // InboxLimits::owner_commands of the stream, or InboxLimits::bytes as above, ends the stream with
  // RESOURCE_EXHAUSTED, QUEUE_FULL. Cancel, close and half-close are always taken: of
  // each, one behind each request is kept, and nothing behind a close, so their number is bounded
  // too.
  bool Defer(Command& command);
  // The stream has gone. Returns it, with what it has asked for, if it waited.
  std::optional<Arrival> Leave(AttachmentId attachment);
  // Id of the session that the first waiting stream asks for; empty if that is a new one, or if
  // none waits.
  SessionId Wanted() const { return waiting_.empty() ? "" : waiting_.front().open.request.id; }
  // The session that the first waiting stream asks for is lost: the stream is told `status`.
  void RefuseFirst(const absl::Status& status);
  // Tells `status` to all that wait.
  void RefuseAll(const absl::Status& status);
  // Refuses a stream that does not wait (any more): tells the observer and the stream.
  void Refuse(const OpenCommand& command, const absl::Status& status);

 private:
  using Place = std::deque<Arrival>::iterator;

  bool HasRoom(size_t bytes) const;
  Place Find(AttachmentId attachment);
  // It waits no longer.
  Arrival Take(const Place& place);
  // Its session, if that is there already.
  Session* SessionOf(const OpenCommand& command);
  // Null: it has to wait.
  absl::StatusOr<Session*> Admit(const OpenCommand& command);
  absl::StatusOr<Session*> Resume(const OpenCommand& command);
  absl::StatusOr<Session*> OpenNew(const OpenCommand& command);
  absl::StatusOr<SessionSettings> Settings(const OpenCommand& command) const;
  SessionId NewSessionId();

  const EngineOptions& options_;
  const ModelSpec& spec_;
  const Parts parts_;
  size_t waiting_bytes_ = 0;     // of waiting_ and what their streams have asked for since
  std::deque<Arrival> waiting_;  // each claims the session that it asks for
};

}  // namespace sinkstream
