// LoadStream: one Converse stream on gRPC's callbacks, for a load of many: no thread waits for it.
//
// Threads: one makes the calls. `on_response` and `on_end` run on gRPC's threads, one at a time,
// and must not block.
#pragma once

#include <grpcpp/grpcpp.h>

#include <deque>
#include <functional>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "sinkstream/v1/chat.grpc.pb.h"

namespace sinkstream::loadgen {

struct StreamHandlers {
  std::function<void(v1::ConverseResponse)> on_response;
  // The last call; the stream may be destroyed from then on, on another thread too.
  std::function<void(absl::Status)> on_end;
};

class LoadStream final
    : private grpc::ClientBidiReactor<v1::ConverseRequest, v1::ConverseResponse> {
 public:
  // Starts the call; `stub` outlives this. `by_hand`: after each answer nothing is read before
  // Read(), so that gRPC's flow control reaches the server.
  LoadStream(v1::ChatService::Stub& stub, StreamHandlers handlers, bool by_hand);

  // Sends `request` behind those before it. No effect once the stream has ended.
  void Send(v1::ConverseRequest request);
  // Says that nothing more is sent, behind what is.
  void HalfClose();
  // Ends the stream without the server's consent. Read by hand, the end shows at the next Read().
  void Drop();
  // Requires: `by_hand`, and each answer so far has been asked for.
  void Read();

 private:
  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;
  void WriteNext() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const StreamHandlers handlers_;
  const bool by_hand_;
  grpc::ClientContext context_;
  v1::ConverseResponse incoming_;  // gRPC's from StartRead to OnReadDone

  absl::Mutex mutex_;
  std::deque<v1::ConverseRequest> outgoing_ ABSL_GUARDED_BY(mutex_);
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;  // the first of outgoing_
  bool half_close_wanted_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;  // nothing may be started any more
};

}  // namespace sinkstream::loadgen
