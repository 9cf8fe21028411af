#include "server/activity.h"

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

bool EngineActivity::WaitUntilDrained(std::chrono::steady_clock::time_point deadline) {
  MutexLock lock(mutex_);
  while (!Drained() && !hurry_ && std::chrono::steady_clock::now() < deadline) {
    changed_.WaitUntil(mutex_, deadline);
  }
  return Drained();
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
