// SessionStream: one Converse call. It carries out what StreamState decides and hands the client's
// messages to the engine; nothing in it blocks on the model. It deletes itself when gRPC is done
// with it.
#pragma once

#include <grpcpp/grpcpp.h>

#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <unordered_set>

#include "absl/status/statusor.h"
#include "engine/engine.h"
#include "engine/outbox.h"
#include "engine/sync.h"
#include "server/open_deadline.h"
#include "server/request.h"
#include "server/stream_state.h"
#include "server/wake_queue.h"
#include "sinkstream/v1/chat.pb.h"

namespace sinkstream {

class SessionStream;

// The streams that live: no more than a limit, and a server that stops can end them. Any thread.
class LiveStreams {
 public:
  explicit LiveStreams(int64_t most) : most_(most) {}

  // RESOURCE_EXHAUSTED if `most` live already.
  absl::Status Add(SessionStream* stream);
  // No effect on one that was not added.
  void Remove(SessionStream* stream);
  // Ends every stream with `status` once what waits for it is written.
  void EndAll(const absl::Status& status);

 private:
  const int64_t most_;
  Mutex mutex_;
  std::unordered_set<SessionStream*> streams_ ABSL_GUARDED_BY(mutex_);
};

// Any thread; must not throw. Told each error whose text clients are not told.
using ErrorSink = std::function<void(const absl::Status&)>;

// What every stream uses; outlives them all.
struct StreamEnvironment {
  Engine& engine;
  ErrorSink on_error;
  RequestRules rules;
  v1::Limits limits;
  absl::Duration open_deadline;
  WakeQueue wakes;
  LiveStreams streams;
};

class SessionStream final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                            private Wakeable {
 public:
  SessionStream(grpc::CallbackServerContext& context, StreamEnvironment& environment);

  // Any thread, while the stream is known to live.
  void EndAfterWriting(const absl::Status& status);

 private:
  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;
  void OnWake() override;

  void OnOpenMissed();
  // Never throws: what cannot be made ends the stream with INTERNAL.
  void Perform(StreamState::Step step);
  grpc::Status EndStatus(const absl::Status& status) const;
  // INTERNAL, which the environment has been told.
  absl::Status Reported(const std::exception& error) const;
  void HandleMessage();
  void HandleEndOfMessages();
  // An error ends the stream; an event is the server's own answer.
  absl::StatusOr<std::optional<Event>> Carry(v1::ConverseRequest request);
  // The same for a message that did not parse, with `status`.
  absl::StatusOr<std::optional<Event>> Refuse(absl::Status status) const;
  absl::Status Open(v1::Open open);
  absl::Status Submit(v1::ConverseRequest& request);

  // An exception that left a reaction would be swallowed by gRPC, and the call would never end.
  template <typename Body>
  void Guarded(Body body);

  grpc::CallbackServerContext& context_;
  StreamEnvironment& environment_;
  const std::shared_ptr<Outbox> outbox_;
  StreamState state_;
  OpenDeadline open_deadline_;
  bool open_seen_ = false;     // reads only, of which there is one at a time
  grpc::ByteBuffer inbound_;   // of the read at hand
  grpc::ByteBuffer outbound_;  // of the write in flight
};

}  // namespace sinkstream
