#include "server/stream/wake_queue.h"

namespace sinkstream {

WakeQueue::WakeQueue() : thread_([this] { Run(); }) {}

WakeQueue::~WakeQueue() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  posted_.NotifyOne();
  thread_.join();
}

void WakeQueue::Post(Wakeable* stream) {
  {
    MutexLock lock(mutex_);
    streams_.push_back(stream);
  }
  posted_.NotifyOne();
}

void WakeQueue::Run() {
  while (true) {
    std::deque<Wakeable*> woken;
    {
      MutexLock lock(mutex_);
      while (streams_.empty() && !stopping_) posted_.Wait(mutex_);
      if (streams_.empty()) return;
      woken.swap(streams_);
    }
    for (Wakeable* stream : woken) stream->OnWake();
  }
}

}  // namespace sinkstream
