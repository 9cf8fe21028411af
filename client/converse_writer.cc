#include "client/converse_writer.h"

#include <utility>

namespace sinkstream {

void ConverseWriter::Send(v1::ConverseRequest request) {
  absl::MutexLock lock(&mutex_);
  outgoing_.push_back(std::move(request));
  WriteNext();
}

void ConverseWriter::HalfClose() {
  absl::MutexLock lock(&mutex_);
  half_close_wanted_ = true;
  WriteNext();
}

void ConverseWriter::OnWriteDone(bool ok) {
  absl::MutexLock lock(&mutex_);
  writing_ = false;
  outgoing_.pop_front();
  if (ok) WriteNext();  // a broken stream shows at the next read
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
