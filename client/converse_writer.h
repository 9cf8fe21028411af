// ConverseWriter: the sending half of a Converse stream on gRPC's callbacks; who derives from it
// reads (converse_call.h, loadgen/load_stream.h).
//
// Threads: any may call; all return at once, also where the network or the server takes nothing.
#pragma once

#include <grpcpp/grpcpp.h>

#include <deque>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "sinkstream/v1/chat.grpc.pb.h"

namespace sinkstream {

class ConverseWriter
    : protected grpc::ClientBidiReactor<v1::ConverseRequest, v1::ConverseResponse> {
 public:
  // Sends `request` behind those before it. No effect behind HalfClose(), or once the stream has
  // ended or broken.
  void Send(v1::ConverseRequest request);
  // Says that nothing more is sent, behind what is.
  void HalfClose();

 protected:
  mutable absl::Mutex mutex_;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;  // nothing may be started any more

 private:
  void OnWriteDone(bool ok) final;
  void WriteNext() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  std::deque<v1::ConverseRequest> outgoing_ ABSL_GUARDED_BY(mutex_);
  bool all_said_ ABSL_GUARDED_BY(mutex_) = false;  // nothing goes behind outgoing_
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;   // the first of outgoing_
  bool half_close_wanted_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace sinkstream
