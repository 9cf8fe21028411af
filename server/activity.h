// EngineActivity: watches the engine for the drain of a server and for whoever asks what it holds,
// and tells the operator what clients are not told: the text of internal errors.
#pragma once

#include <chrono>
#include <cstdio>

#include "absl/base/thread_annotations.h"
#include "engine/observer.h"
#include "engine/sync.h"

namespace sinkstream {

class EngineActivity final : public EngineObserver {
 public:
  // `log` outlives this.
  explicit EngineActivity(std::FILE* log) : log_(log) {}

  void OnPool(const PoolStats& stats) override;
  void OnDraining() override;
  void OnRequestFailed(const absl::Status& status) override { Log(status); }
  void OnParkFailed(const absl::Status& status) override;

  // Any thread. A line for an error whose text clients are not told; nothing for any other.
  void Log(const absl::Status& status);

  // Waits until the engine drains and no request runs or waits, Hurry() is called or `deadline` has
  // come; true in the first case. Requests that lay in front of the drain are counted by then.
  bool WaitUntilDrained(std::chrono::steady_clock::time_point deadline);
  // Any thread. As it was last told.
  PoolStats Pool() const;
  // From now on nobody waits.
  void Hurry();

 private:
  bool Drained() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return draining_ && pool_.running_requests + pool_.waiting_requests == 0;
  }

  std::FILE* const log_;
  mutable Mutex mutex_;
  CondVar changed_;
  PoolStats pool_ ABSL_GUARDED_BY(mutex_);
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  bool hurry_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace sinkstream
