// Inbox: the bounded queue through which every other thread reaches the engine thread. Bounded as a
// whole and for each owner (a stream's attachment), so that one of them cannot take the others'
// room. ThreadSanitizer covers it.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "engine/sync.h"

namespace sinkstream {

struct InboxLimits {
  size_t commands = 4096;           // of all owners
  size_t owner_commands = 32;       // of one
  size_t bytes = size_t{64} << 20;  // of all; a single command may exceed it
};

template <typename Command>
class Inbox {
 public:
  using Owner = uint64_t;

  explicit Inbox(InboxLimits limits) : limits_(limits) {}

  // Any thread. False if there is no room for `bytes` more of this owner.
  bool TryPush(Owner owner, size_t bytes, Command command) {
    MutexLock lock(mutex_);
    if (counted_ >= limits_.commands) return false;
    if (bytes_ > 0 && bytes > 0 && bytes_ + bytes > limits_.bytes) return false;
    Share& share = owners_[owner];
    if (share.commands >= limits_.owner_commands) return false;
    ++counted_;
    ++share.commands;
    share.given_once = 0;
    bytes_ += bytes;
    commands_.push_back(std::move(command));
    arrived_.NotifyOne();
    return true;
  }

  // Any thread. For commands that must arrive and that mean nothing new when given twice: does
  // nothing if one of the same alternative of the owner waits already and no TryPush has come
  // behind it. So few wait, however many are given, and they take nobody's room. `Command` is a
  // std::variant of at most 64 alternatives.
  void PushOnce(Owner owner, Command command) {
    MutexLock lock(mutex_);
    const uint64_t kind = uint64_t{1} << command.index();
    uint64_t& given = owners_[owner].given_once;
    if ((std::exchange(given, given | kind) & kind) != 0) return;
    commands_.push_back(std::move(command));
    arrived_.NotifyOne();
  }

  // Any thread. For commands that must arrive and are of no owner, whose number is bounded
  // otherwise.
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

  // Engine thread. Everything that waits; waits up to `patience` of real time, or kLongestWait, for
  // something if there is nothing.
  std::vector<Command> TakeAll(absl::Duration patience) {
    MutexLock lock(mutex_);
    AwaitSomething(patience);
    poked_ = false;
    owners_.clear();
    counted_ = 0;
    bytes_ = 0;
    return std::exchange(commands_, {});
  }

 private:
  struct Share {
    size_t commands = 0;      // by TryPush
    uint64_t given_once = 0;  // alternatives by PushOnce since the last TryPush, a bit each
  };

  static constexpr absl::Duration kLongestWait = absl::Hours(1);

  void AwaitSomething(absl::Duration patience) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const auto deadline = std::chrono::steady_clock::now() +
                          absl::ToChronoNanoseconds(std::min(patience, kLongestWait));
    while (commands_.empty() && !poked_ && std::chrono::steady_clock::now() < deadline) {
      arrived_.WaitUntil(mutex_, deadline);
    }
  }

  const InboxLimits limits_;
  Mutex mutex_;
  CondVar arrived_;
  std::vector<Command> commands_ ABSL_GUARDED_BY(mutex_);
  std::unordered_map<Owner, Share> owners_ ABSL_GUARDED_BY(mutex_);  // of commands_
  size_t counted_ ABSL_GUARDED_BY(mutex_) = 0;  // of commands_, those by TryPush
  size_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;    // of commands_
  bool poked_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace sinkstream
