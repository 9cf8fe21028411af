// WakeQueue: one thread that carries on streams which the engine thread has woken, so that the
// engine thread neither serialises nor writes to a socket. Knows no gRPC.
#pragma once

#include <deque>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "engine/sync.h"

namespace sinkstream {

class Wakeable {
 public:
  virtual ~Wakeable() = default;
  // On the queue's thread; must not block nor throw. May destroy this.
  virtual void OnWake() = 0;
};

class WakeQueue {
 public:
  WakeQueue();
  // Every stream that was posted has been woken by then; nobody posts any more.
  ~WakeQueue();
  WakeQueue(const WakeQueue&) = delete;
  WakeQueue& operator=(const WakeQueue&) = delete;

  // Any thread; never blocks for long. `stream` lives until its OnWake, and is not posted again
  // before that: the queue is no longer than there are streams.
  void Post(Wakeable* stream);

 private:
  void Run();

  Mutex mutex_;
  CondVar posted_;
  std::deque<Wakeable*> streams_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace sinkstream
