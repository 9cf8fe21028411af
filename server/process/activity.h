// EngineActivity: watches the engine, and how many streams it serves, for the drain of a server and
// for whoever asks what it holds.
#pragma once

#include <chrono>
#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "engine/observer.h"
#include "engine/sync.h"

namespace sinkstream {

class EngineActivity final : public EngineObserver {
 public:
  void OnPool(const PoolStats& stats) override;
  void OnDraining() override;

  // Waits until the engine drains and no request runs or waits, Hurry() is called or `deadline` has
  // come; true in the first case. Requests that lay in front of the drain are counted by then.
  bool WaitUntilDrained(std::chrono::steady_clock::time_point deadline);
  // Any thread, one at a time: so many streams live.
  void OnStreams(int64_t streams);
  // Waits likewise until no stream lives: every reader has been told all, and its end.
  bool WaitUntilStreamsEnd(std::chrono::steady_clock::time_point deadline);
  // Any thread. As it was last told.
  PoolStats Pool() const;
  // From now on nobody waits.
  void Hurry();

 private:
  bool Patient(std::chrono::steady_clock::time_point deadline) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return !hurry_ && std::chrono::steady_clock::now() < deadline;
  }
  bool Drained() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return draining_ && pool_.running_requests + pool_.waiting_requests == 0;
  }

  mutable Mutex mutex_;
  CondVar changed_;
  PoolStats pool_ ABSL_GUARDED_BY(mutex_);
  int64_t streams_ ABSL_GUARDED_BY(mutex_) = 0;
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  bool hurry_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace sinkstream
