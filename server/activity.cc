#include "server/activity.h"

namespace sinkstream {

void EngineActivity::OnPool(const PoolStats& stats) {
  MutexLock lock(mutex_);
  requests_ = int64_t{stats.running_requests} + stats.waiting_requests;
  if (requests_ == 0) changed_.NotifyAll();
}

void EngineActivity::OnRequestFailed(const absl::Status& status) {
  if (status.code() != absl::StatusCode::kInternal) return;
  std::fprintf(log_, "sinkstream-server: error: %s\n", status.ToString().c_str());
}

bool EngineActivity::WaitUntilIdle(std::chrono::steady_clock::time_point deadline) {
  MutexLock lock(mutex_);
  while (requests_ != 0 && !hurry_ && std::chrono::steady_clock::now() < deadline) {
    changed_.WaitUntil(mutex_, deadline);
  }
  return requests_ == 0;
}

void EngineActivity::Hurry() {
  MutexLock lock(mutex_);
  hurry_ = true;
  changed_.NotifyAll();
}

}  // namespace sinkstream
