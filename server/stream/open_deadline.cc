#include "server/stream/open_deadline.h"

#include <chrono>
#include <utility>

namespace sinkstream {

OpenDeadline::OpenDeadline() : missed_(std::make_shared<Missed>()) {}

void OpenDeadline::Start(absl::Duration patience, std::function<void()> on_missed) {
  {
    MutexLock lock(missed_->mutex);
    missed_->call = std::move(on_missed);
  }
  const auto deadline = std::chrono::system_clock::now() + absl::ToChronoMicroseconds(patience);
  alarm_.Set(deadline, [missed = missed_](bool expired) {
    if (!expired) return;
    MutexLock lock(missed->mutex);
    if (missed->call) missed->call();
  });
}

void OpenDeadline::Met() {
  {
    MutexLock lock(missed_->mutex);
    missed_->call = nullptr;
  }
  alarm_.Cancel();
}

}  // namespace sinkstream
