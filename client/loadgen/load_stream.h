// UserStream: one user's Converse stream. LoadStream: on gRPC's callbacks, for a load of many: no
// thread waits for it.
//
// Threads: one makes the calls. `on_response` and `on_end` run on threads of the stream's, one at a
// time, and must not block.
#pragma once

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "client/converse_writer.h"
#include "sinkstream/v1/chat.grpc.pb.h"

namespace sinkstream::loadgen {

struct StreamHandlers {
  std::function<void(v1::ConverseResponse)> on_response;
  // The last call; the stream may be destroyed from then on, on another thread too.
  std::function<void(absl::Status)> on_end;
};

class UserStream {
 public:
  virtual ~UserStream() = default;

  // Sends `request` behind those before it. No effect once the stream has ended.
  virtual void Send(v1::ConverseRequest request) = 0;
  // Says that nothing more is sent, behind what is.
  virtual void HalfClose() = 0;
  // Ends the stream without the server's consent. Read by hand, the end shows at the next Read().
  virtual void Drop() = 0;
  // Requires: it is read by hand, and each answer so far has been asked for.
  virtual void Read() = 0;
};

// Begins a stream. `by_hand`: after each answer nothing is read before Read(), so that the server
// comes to feel it.
using ConnectFunction =
    std::function<std::unique_ptr<UserStream>(StreamHandlers handlers, bool by_hand)>;

// To the server of `stub`, which outlives it and the streams.
ConnectFunction ConnectTo(v1::ChatService::Stub& stub);

class LoadStream final : public UserStream, private ConverseWriter {
 public:
  // Starts the call; `stub` outlives this. By hand, gRPC's flow control reaches the server.
  LoadStream(v1::ChatService::Stub& stub, StreamHandlers handlers, bool by_hand);

  void Send(v1::ConverseRequest request) override { ConverseWriter::Send(std::move(request)); }
  void HalfClose() override { ConverseWriter::HalfClose(); }
  void Drop() override;
  void Read() override;

 private:
  void OnReadDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;

  const StreamHandlers handlers_;
  const bool by_hand_;
  grpc::ClientContext context_;
  v1::ConverseResponse incoming_;  // gRPC's from StartRead to OnReadDone
};

}  // namespace sinkstream::loadgen
