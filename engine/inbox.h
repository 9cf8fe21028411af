// Inbox: the bounded queue through which every other thread reaches the engine thread.
// ThreadSanitizer covers it.
#pragma once

#include <cstddef>
#include <vector>

#include "absl/time/time.h"
#include "engine/sync.h"

namespace sinkstream {

template <typename Command>
class Inbox {
 public:
  explicit Inbox(size_t capacity) : capacity_(capacity) {}

  // Any thread. False if `capacity` commands wait already.
  bool TryPush(Command command) {
    MutexLock lock(mutex_);
    if (commands_.size() >= capacity_) return false;
    commands_.push_back(std::move(command));
    arrived_.NotifyOne();
    return true;
  }

  // Any thread. For commands that must arrive, whose number is bounded otherwise (one per stream
  // and kind).
  void Push(Command command) {
    MutexLock lock(mutex_);
    commands_.push_back(std::move(command));
    arrived_.NotifyOne();
  }

  // Any thread. Ends the wait of the engine thread without a command.
  void Poke() {
    MutexLock lock(mutex_);
    poked_ = true;
    arrived_.NotifyOne();
  }

  // Engine thread. Everything that waits; waits up to `patience` for something if there is nothing.
  std::vector<Command> TakeAll(absl::Duration patience) {
    MutexLock lock(mutex_);
    const bool forever = patience == absl::InfiniteDuration();
    const auto deadline =
        std::chrono::steady_clock::now() +
        (forever ? std::chrono::nanoseconds(0) : absl::ToChronoNanoseconds(patience));
    while (commands_.empty() && !poked_) {
      if (forever) {
        arrived_.Wait(mutex_);
      } else {
        if (std::chrono::steady_clock::now() >= deadline) break;
        arrived_.WaitUntil(mutex_, deadline);
      }
    }
    poked_ = false;
    std::vector<Command> taken;
    taken.swap(commands_);
    return taken;
  }

 private:
  const size_t capacity_;
  Mutex mutex_;
  CondVar arrived_;
  std::vector<Command> commands_ ABSL_GUARDED_BY(mutex_);
  bool poked_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace sinkstream
