// StreamState: decides what a stream does next: which event it writes, when it reads on, when it
// ends. Knows no gRPC, so ThreadSanitizer covers it; EventStream carries its decisions out.
//
// Rules it keeps:
//   - one write in flight; an end only when no write is in flight and no wake is pending, exactly
//     once;
//   - `Opened` is the first event of a stream: the server's own answers wait for it;
//   - what a stream holds is bounded: after kMaxUnansweredReads messages that it could not answer
//     it stops reading until everything that waits is written.
//
// Any thread may call any method. The step that a method returns is carried out by its caller, at
// once and in the order of Step's fields. `finish` is the last thing done to a stream.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "engine/engine.h"
#include "engine/outbox.h"
#include "engine/sync.h"
#include "engine/types.h"

namespace sinkstream {

class StreamState {
 public:
  static constexpr int kMaxUnansweredReads = 256;

  struct Step {
    bool read = false;
    std::optional<Event> write;
    std::optional<absl::Status> finish;
  };

  // `on_taken`: told what the outbox has given, one batch at a time. It must not call back.
  using OnTaken = std::function<void(const Outbox::Batch&)>;
  explicit StreamState(std::shared_ptr<Outbox> outbox, OnTaken on_taken = {})
      : outbox_(std::move(outbox)), on_taken_(std::move(on_taken)) {}

  // The outbox has something (engine thread). True: the caller sees to it that Woken() is called on
  // another thread.
  bool Ready();
  // Answers a Ready() that was true. Never asks for a read.
  Step Woken();

  // A message has been read and handled; `answer` is the server's own answer to it, if it has one.
  Step ReadDone(std::optional<Event> answer);
  // A write is done; !ok: the client is gone.
  Step WriteDone(bool ok);
  // A write that was asked for was not started: ends the stream with `status`. Never asks for
  // another.
  Step WriteNotStarted(absl::Status status);
  // Ends the stream with `status`, whatever waits to be written. The first call counts.
  Step End(absl::Status status);
  // The same once everything is written that waits by now.
  Step EndAfterWriting(absl::Status status);

  // The stream has opened a session. False: it has ended meanwhile, and the caller detaches it.
  bool Attach(AttachmentId attachment);
  std::optional<AttachmentId> Attachment() const;

 private:
  Step Next() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Refill() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void TakeFromOutbox() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool Idle() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::shared_ptr<Outbox> outbox_;
  const OnTaken on_taken_;

  mutable Mutex mutex_;
  std::optional<AttachmentId> attachment_ ABSL_GUARDED_BY(mutex_);
  std::deque<Event> waiting_ ABSL_GUARDED_BY(mutex_);  // taken from the outbox, deltas joined
  std::deque<Event> answers_ ABSL_GUARDED_BY(mutex_);  // the server's own
  std::optional<absl::Status> closed_ ABSL_GUARDED_BY(mutex_);  // end, once what waits is written
  std::optional<absl::Status> ended_ ABSL_GUARDED_BY(mutex_);   // end, at once
  bool opened_ ABSL_GUARDED_BY(mutex_) = false;  // Opened has been handed out for writing
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool wake_pending_ ABSL_GUARDED_BY(mutex_) = false;
  bool read_paused_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  int unanswered_reads_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace sinkstream
