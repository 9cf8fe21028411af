#include "client/converse_writer.h"

#include <utility>

namespace sinkstream {

void ConverseWriter::Send(v1::ConverseRequest request) {
  absl::MutexLock lock(&mutex_);
  if (all_said_ || ended_) return;
  outgoing_.push_back(std::move(request));
  WriteNext();
}

void ConverseWriter::HalfClose() {
  absl::MutexLock lock(&mutex_);
  if (std::exchange(all_said_, true)) return;
  half_close_wanted_ = true;
  WriteNext();
}

void ConverseWriter::OnWriteDone(bool ok) {
  absl::MutexLock lock(&mutex_);
  writing_ = false;
  outgoing_.pop_front();
  if (ok) return WriteNext();
  // Nothing may be written behind it. That the stream is broken shows at the next read.
  all_said_ = true;
  half_close_wanted_ = false;
  outgoing_.clear();
}

void ConverseWriter::WriteNext() {
  if (writing_ || ended_) return;
  if (!outgoing_.empty()) {
    writing_ = true;
    StartWrite(&outgoing_.front());
  } else if (std::exchange(half_close_wanted_, false)) {
    StartWritesDone();
  }
}

}  // namespace sinkstream
