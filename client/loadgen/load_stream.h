// LoadStream: one Converse stream on gRPC's callbacks, for a load of many: no thread waits for it.
//
// Threads: one makes the calls. `on_response` and `on_end` run on gRPC's threads, one at a time,
// and must not block.
#pragma once

#include <grpcpp/grpcpp.h>

#include <functional>

#include "absl/status/status.h"
#include "client/converse_writer.h"
#include "sinkstream/v1/chat.grpc.pb.h"

namespace sinkstream::loadgen {

struct StreamHandlers {
  std::function<void(v1::ConverseResponse)> on_response;
  // The last call; the stream may be destroyed from then on, on another thread too.
  std::function<void(absl::Status)> on_end;
};

class LoadStream final : public ConverseWriter {
 public:
  // Starts the call; `stub` outlives this. `by_hand`: after each answer nothing is read before
  // Read(), so that gRPC's flow control reaches the server.
  LoadStream(v1::ChatService::Stub& stub, StreamHandlers handlers, bool by_hand);

  // Ends the stream without the server's consent. Read by hand, the end shows at the next Read().
  void Drop();
  // Requires: `by_hand`, and each answer so far has been asked for.
  void Read();

 private:
  void OnReadDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;

  const StreamHandlers handlers_;
  const bool by_hand_;
  grpc::ClientContext context_;
  v1::ConverseResponse incoming_;  // gRPC's from StartRead to OnReadDone
};

}  // namespace sinkstream::loadgen
