// SessionClient: talks to one server in one session at a time, by blocking calls. It is the example
// of the API: it knows the wire contract (proto/sinkstream/v1/chat.proto) and nothing else of this
// project.
//
// Threads: one thread makes the calls; Cancel() and Abandon() may be called by any other meanwhile.
#pragma once

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "client/connection.h"
#include "client/converse_call.h"
#include "client/credentials.h"
#include "sinkstream/v1/chat.grpc.pb.h"

namespace sinkstream {

class SessionClient {
 public:
  using EventFunction = std::function<void(const v1::ConverseResponse&)>;

  // `server`: ADDRESS:PORT. Connects at the first call.
  explicit SessionClient(const std::string& server, const ClientPatience& patience = {},
                         const Credentials& credentials = {});
  // Leaves the session as Leave() does.
  ~SessionClient();
  SessionClient(const SessionClient&) = delete;
  SessionClient& operator=(const SessionClient&) = delete;

  // Asks the server's health service once. UNAVAILABLE if it does not say SERVING, or says nothing
  // within `patience`.
  absl::Status CheckServing(absl::Duration patience);

  // Returns as soon as the server's health service says SERVING; UNAVAILABLE if it does not within
  // `patience`; CANCELLED after Abandon().
  absl::Status WaitForServing(absl::Duration patience);

  // Leaves the session at hand, if any, then opens a stream and attaches it: to a new session, or
  // to `open.session_id`. An error is the one that the stream ended with; DEADLINE_EXCEEDED: no
  // answer within ClientPatience.open.
  absl::StatusOr<v1::Opened> Open(const v1::Open& open);

  // Sends `turn` under a number of its own, from 1 on, in place of its request_id. Gives `on_event`
  // every answer about it, and where the window stands, up to and without its end; returns that
  // end. Answers about other requests are passed over. After an error Attached() tells whether the
  // turn alone has failed or the stream with it. A reply may take any time. Requires: Attached().
  absl::StatusOr<v1::TurnDone> Turn(const v1::Turn& turn, const EventFunction& on_event);

  // Asks the server to end the running turn: Turn() returns with FINISH_REASON_CANCELLED. Nothing
  // runs: no effect.
  void Cancel();

  // Ends the call that is being made, without the server's consent: it returns CANCELLED, and the
  // stream is dropped. For a server that is stuck. No call: no effect.
  void Abandon();

  // Ends the session: its memory is free and its id forgotten. Waits for the server to confirm, for
  // ClientPatience.end at most: DEADLINE_EXCEEDED.
  absl::Status Close();

  // Half-closes the stream; the session stays for its idle timeout and is re-attached by its id.
  // Waits as Close() does.
  absl::Status Leave();

  // False before Open() and once the stream has ended, for whatever reason.
  bool Attached() const;

 private:
  class Call;

  // Whether a connection that fails is tried again until the deadline.
  enum class Connecting { kOnce, kUntilDeadline };

  // One question to the health service. OK: it says SERVING.
  absl::Status AskHealth(absl::Time deadline, Connecting connecting);
  // Reads what is left, for a while, and drops the stream; its status.
  absl::Status EndStream();

  const ClientPatience patience_;
  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<v1::ChatService::Stub> stub_;
  uint64_t turns_ = 0;  // sent so far, in whatever session

  // Held while the stream is made, used or dropped, never while anything is waited for. The thread
  // that makes the calls reads stream_ without it: no other changes it.
  mutable absl::Mutex mutex_;
  std::unique_ptr<ConverseCall> stream_;                           // null: not attached
  grpc::ClientContext* asking_ ABSL_GUARDED_BY(mutex_) = nullptr;  // of WaitForServing()
  bool calling_ ABSL_GUARDED_BY(mutex_) = false;
  bool abandoned_ ABSL_GUARDED_BY(mutex_) = false;  // the call that is being made
};

}  // namespace sinkstream
