// EventStream: a call that writes the events of a session. It carries out what StreamState decides;
// nothing in it blocks on the model. It deletes itself when gRPC is done with it.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <exception>
#include <memory>
#include <optional>
#include <string>

#include "engine/outbox.h"
#include "server/stream/stream_environment.h"
#include "server/stream/stream_state.h"
#include "server/stream/wake_queue.h"

namespace sinkstream {

// `Reactor`: gRPC's base class of a call that writes grpc::ByteBuffer.
template <typename Reactor>
class EventStream : public Reactor, private LiveStream, private Wakeable {
 protected:
  explicit EventStream(StreamEnvironment& environment);

  // Once: finds out whose call it is and joins the streams that live. False: it may not be made, or
  // there are too many, and the call ends.
  bool Join(const grpc::ServerContextBase& context);

  // What an event comes to. Neither: the client is told nothing of it.
  struct Outcome {
    std::optional<grpc::ByteBuffer> message = std::nullopt;  // to be written
    // The call's end, whatever waits to be written: the failure of a request, which the engine has
    // counted. Then there is no message.
    std::optional<absl::Status> end = std::nullopt;
  };

  // What `event` comes to. It only says so: Perform() writes, and ends the call. May throw, which
  // ends the call with INTERNAL. Never two calls at a time.
  virtual Outcome Message(const Event& event) = 0;
  // The state asks for a read.
  virtual void Read() {}
  // gRPC is done with it, and it is about to go.
  virtual void OnEnd() {}

  // Never throws: what cannot be made ends the stream with INTERNAL.
  void Perform(StreamState::Step step);

  // An exception that left a reaction would be swallowed by gRPC, and the call would never end.
  template <typename Body>
  void Guarded(Body body) {
    try {
      body();
    } catch (const std::exception& error) {
      Perform(state_.End(Reported(error)));
    }
  }

  StreamEnvironment& environment_;
  TokenTimes token_times_;
  const std::shared_ptr<Outbox> outbox_;
  StreamState state_;
  std::string principal_;  // set by Join()

 private:
  void EndAfterWriting(const absl::Status& status) final;
  void OnWriteDone(bool ok) final;
  void OnCancel() final;
  void OnDone() final;
  void OnWake() final;

  // False: `event` gives nothing to write, and the state has been told what to do instead: `step`.
  bool MakeMessage(const Event& event, StreamState::Step& step);
  grpc::Status EndStatus(const absl::Status& status) const;
  // INTERNAL, which the environment has been told.
  absl::Status Reported(const std::exception& error) const;

  std::atomic<bool> end_counted_{false};       // an Outcome has ended the call
  grpc::ByteBuffer outbound_;                  // of the write in flight
  std::shared_ptr<const void> outbound_room_;  // what its event took, until it is written
};

extern template class EventStream<grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>>;
extern template class EventStream<grpc::ServerWriteReactor<grpc::ByteBuffer>>;

}  // namespace sinkstream
