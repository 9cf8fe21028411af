// ConverseCall: one Converse call on gRPC's callbacks, with a wait that has an end.
//
// Threads: any may call, Next() one at a time. All but Next() and the destructor return at once,
// also where the network or the server takes nothing.
#pragma once

#include <grpcpp/grpcpp.h>

#include <optional>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/converse_writer.h"
#include "sinkstream/v1/chat.grpc.pb.h"

namespace sinkstream {

class ConverseCall final : public ConverseWriter {
 public:
  // Starts the call; `stub` outlives this.
  explicit ConverseCall(v1::ChatService::Stub& stub);
  // Drops the stream if it has not ended.
  ~ConverseCall() override;

  // Sends `open`, the first request, and awaits its answer. An error is the one that the stream
  // ended with, DEADLINE_EXCEEDED at `deadline`, UNAVAILABLE if it ended without one; INTERNAL, and
  // the stream is dropped, if the answer is another.
  absl::StatusOr<v1::Opened> Open(const v1::Open& open, absl::Time deadline);

  // Ends the stream without the server's consent: Next() gives nothing, Status() is CANCELLED.
  void Drop();

  // The next answer. Nothing once the stream has ended; at `deadline` it is dropped, and Status()
  // is DEADLINE_EXCEEDED.
  std::optional<v1::ConverseResponse> Next(absl::Time deadline = absl::InfiniteFuture());

  // Why the stream has ended. Requires: Next() has given nothing.
  absl::Status Status() const;

 private:
  void OnReadDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;
  bool ReadOrDone() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return read_ || done_; }

  grpc::ClientContext context_;
  v1::ConverseResponse incoming_;  // gRPC's from StartRead to OnReadDone

  bool read_ ABSL_GUARDED_BY(mutex_) = false;    // incoming_ is there
  bool done_ ABSL_GUARDED_BY(mutex_) = false;    // gRPC has let go of this
  absl::Status status_ ABSL_GUARDED_BY(mutex_);  // of the call, or why it was dropped
};

}  // namespace sinkstream
