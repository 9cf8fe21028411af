#include "server/process/activity.h"

namespace sinkstream {

void EngineActivity::OnPool(const PoolStats& stats) {
  MutexLock lock(mutex_);
  pool_ = stats;
  if (Drained()) changed_.NotifyAll();
}

void EngineActivity::OnDraining() {
  MutexLock lock(mutex_);
  draining_ = true;
  changed_.NotifyAll();
}

void EngineActivity::OnStreams(int64_t streams) {
  MutexLock lock(mutex_);
  streams_ = streams;
  if (streams_ == 0) changed_.NotifyAll();
}

bool EngineActivity::WaitUntilDrained(std::chrono::steady_clock::time_point deadline) {
  MutexLock lock(mutex_);
  while (!Drained() && Patient(deadline)) changed_.WaitUntil(mutex_, deadline);
  return Drained();
}

bool EngineActivity::WaitUntilStreamsEnd(std::chrono::steady_clock::time_point deadline) {
  MutexLock lock(mutex_);
  while (streams_ > 0 && Patient(deadline)) changed_.WaitUntil(mutex_, deadline);
  return streams_ == 0;
}

PoolStats EngineActivity::Pool() const {
  MutexLock lock(mutex_);
  return pool_;
}

void EngineActivity::Hurry() {
  MutexLock lock(mutex_);
  hurry_ = true;
  changed_.NotifyAll();
}

}  // namespace sinkstream
