// EventLoop: what other threads tell, and what was planned for a time, one after the other on one
// thread. So all that a load decides and measures needs no lock.
#pragma once

#include <cstdint>
#include <functional>
#include <queue>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "client/loadgen/clock.h"

namespace sinkstream::loadgen {

class EventLoop {
 public:
  using Task = std::function<void()>;

  // `clock` outlives this.
  explicit EventLoop(Clock& clock) : clock_(clock) {}

  // Any thread: `task` is run soon, after those posted before it.
  void Post(Task task);
  // The loop's thread: `task` is run at `time` of the clock, or soon after.
  void At(absl::Time time, Task task);

  // Makes the calling thread the loop's, until Stop().
  void Run();
  // The loop's thread.
  void Stop() { stopped_ = true; }

 private:
  struct Timer {
    absl::Time time;
    int64_t order;  // of equal times
    Task task;
    bool operator<(const Timer& other) const {  // the earliest is on top
      return time != other.time ? time > other.time : order > other.order;
    }
  };

  void RunPosted();
  void RunDue();
  bool HasPosted() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return !posted_.empty(); }

  Clock& clock_;

  // Of the loop's thread.
  std::priority_queue<Timer> timers_;
  std::vector<Task> running_;
  int64_t timers_made_ = 0;
  bool stopped_ = false;

  absl::Mutex mutex_;
  std::vector<Task> posted_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace sinkstream::loadgen
