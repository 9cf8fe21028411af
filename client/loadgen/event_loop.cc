#include "client/loadgen/event_loop.h"

#include <utility>

namespace sinkstream::loadgen {

void EventLoop::Post(Task task) {
  absl::MutexLock lock(&mutex_);
  posted_.push_back(std::move(task));
}

void EventLoop::At(absl::Time time, Task task) {
  timers_.push({time, timers_made_++, std::move(task)});
}

void EventLoop::Run() {
  while (!stopped_) {
    RunPosted();
    RunDue();
  }
}

void EventLoop::RunPosted() {
  {
    const absl::Time next = timers_.empty() ? absl::InfiniteFuture() : timers_.top().time;
    absl::MutexLock lock(&mutex_);
    clock_.Await(mutex_, absl::Condition(this, &EventLoop::HasPosted), next);
    running_.swap(posted_);
  }
  for (Task& task : running_) task();
  running_.clear();
}

void EventLoop::RunDue() {
  const absl::Time now = clock_.Now();
  while (!stopped_ && !timers_.empty() && timers_.top().time <= now) {
    Task task = timers_.top().task;
    timers_.pop();
    task();
  }
}

}  // namespace sinkstream::loadgen
