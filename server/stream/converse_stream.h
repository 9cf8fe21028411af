// ConverseStream: one Converse call: an EventStream that hands the client's messages to the engine.
#pragma once

#include <grpcpp/grpcpp.h>

#include <optional>

#include "absl/status/statusor.h"
#include "server/stream/event_stream.h"
#include "server/stream/open_deadline.h"
#include "sinkstream/v1/chat.pb.h"

namespace sinkstream {

class ConverseStream final
    : public EventStream<grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>> {
 public:
  ConverseStream(grpc::CallbackServerContext& context, StreamEnvironment& environment);

 private:
  void OnReadDone(bool ok) override;
  Outcome Message(const Event& event) override;
  void Read() override { StartRead(&inbound_); }
  void OnEnd() override { open_deadline_.Met(); }

  void OnOpenMissed();
  void HandleMessage();
  void HandleEndOfMessages();
  // An error ends the stream; an event is the server's own answer.
  absl::StatusOr<std::optional<Event>> Carry(v1::ConverseRequest request);
  // The same for a message that did not parse, with `status`.
  absl::StatusOr<std::optional<Event>> Refuse(absl::Status status) const;
  // Of a message: what was answered to it, if it was refused.
  void Count(const absl::StatusOr<std::optional<Event>>& answer, bool parsed);
  absl::Status Open(v1::Open open);
  absl::Status Submit(v1::ConverseRequest& request);

  grpc::CallbackServerContext& context_;
  OpenDeadline open_deadline_;
  bool open_seen_ = false;    // reads only, of which there is one at a time
  grpc::ByteBuffer inbound_;  // of the read at hand
};

}  // namespace sinkstream
