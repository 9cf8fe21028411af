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

void EngineActivity::Log(const absl::Status& status) {
  if (status.code() != absl::StatusCode::kInternal && status.code() != absl::StatusCode::kUnknown) {
    return;
  }
  std::fprintf(log_, "sinkstream-server: error: %s\n", status.ToString().c_str());
}

void EngineActivity::OnParkFailed(const absl::Status& status) {
  std::fprintf(log_, "sinkstream-server: error: %s\n", status.ToString().c_str());
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
