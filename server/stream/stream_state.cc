#include "server/stream/stream_state.h"

#include <iterator>
#include <utility>

#include "server/stream/event_join.h"

namespace sinkstream {

bool StreamState::Ready() {
  MutexLock lock(mutex_);
  if (finished_ || wake_pending_) return false;
  wake_pending_ = true;
  return true;
}

StreamState::Step StreamState::Woken() {
  MutexLock lock(mutex_);
  wake_pending_ = false;
  return Next();
}

StreamState::Step StreamState::ReadDone(std::optional<Event> answer) {
  MutexLock lock(mutex_);
  if (answer.has_value()) answers_.push_back(*std::move(answer));
  ++unanswered_reads_;
  Step step = Next();
  if (finished_) return step;
  if (!writing_ && Idle()) unanswered_reads_ = 0;
  read_paused_ = unanswered_reads_ >= kMaxUnansweredReads;
  step.read = !read_paused_;
  return step;
}

StreamState::Step StreamState::WriteDone(bool ok) {
  MutexLock lock(mutex_);
  writing_ = false;
  if (!ok && !ended_.has_value()) ended_ = absl::CancelledError("the client is gone");
  Step step = Next();
  if (writing_ || finished_) return step;
  unanswered_reads_ = 0;
  step.read = std::exchange(read_paused_, false);
  return step;
}

StreamState::Step StreamState::WriteNotStarted(absl::Status status) {
  MutexLock lock(mutex_);
  writing_ = false;
  if (!ended_.has_value()) ended_ = std::move(status);
  return Next();
}

StreamState::Step StreamState::End(absl::Status status) {
  MutexLock lock(mutex_);
  if (!ended_.has_value()) ended_ = std::move(status);
  return Next();
}

StreamState::Step StreamState::EndAfterWriting(absl::Status status) {
  MutexLock lock(mutex_);
  if (!closed_.has_value()) TakeFromOutbox();
  if (!closed_.has_value()) closed_ = std::move(status);
  return Next();
}

bool StreamState::Attach(AttachmentId attachment) {
  MutexLock lock(mutex_);
  if (ended_.has_value()) return false;
  attachment_ = attachment;
  return true;
}

std::optional<AttachmentId> StreamState::Attachment() const {
  MutexLock lock(mutex_);
  return attachment_;
}

StreamState::Step StreamState::Next() {
  Step step;
  if (writing_ || finished_) return step;
  if (!ended_.has_value()) {
    Refill();
    if (!waiting_.empty()) {
      step.write = std::move(waiting_.front());
      waiting_.pop_front();
      opened_ = true;
      writing_ = true;
      return step;
    }
  }
  if (wake_pending_ || (!ended_.has_value() && !closed_.has_value())) return step;
  finished_ = true;
  step.finish = ended_.has_value() ? *ended_ : *closed_;
  return step;
}

// The outbox is asked only when everything taken before has been handed out, so that what waits for
// a slow reader waits there, where it pauses the decoding.
void StreamState::Refill() {
  if (!waiting_.empty()) return;
  if (!closed_.has_value()) TakeFromOutbox();
  if (!opened_ && waiting_.empty()) return;
  waiting_.insert(waiting_.end(), std::make_move_iterator(answers_.begin()),
                  std::make_move_iterator(answers_.end()));
  answers_.clear();
}

void StreamState::TakeFromOutbox() {
  Outbox::Batch batch = outbox_->TakeAll();
  if (on_taken_) on_taken_(batch);
  closed_ = std::move(batch.closed);
  for (Event& event : JoinDeltas(std::move(batch.events))) waiting_.push_back(std::move(event));
}

bool StreamState::Idle() const { return waiting_.empty() && answers_.empty(); }

}  // namespace sinkstream
