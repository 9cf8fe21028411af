// EngineActivity: watches the engine for the drain of a server, and tells the operator what clients
// are not told: the text of internal errors.
#pragma once

#include <chrono>
#include <cstdio>

#include "absl/base/thread_annotations.h"
#include "engine/observer.h"
#include "engine/sync.h"

namespace sinkstream {

class EngineActivity final : public EngineObserver {
 public:
  // `log` outlives this: one line for each internal error.
  explicit EngineActivity(std::FILE* log) : log_(log) {}

  void OnPool(const PoolStats& stats) override;
  void OnRequestFailed(const absl::Status& status) override;

  // Waits until no request runs or waits, Hurry() is called or `deadline` has come; true in the
  // first case.
  bool WaitUntilIdle(std::chrono::steady_clock::time_point deadline);
  // From now on nobody waits.
  void Hurry();

 private:
  std::FILE* const log_;
  Mutex mutex_;
  CondVar changed_;
  int64_t requests_ ABSL_GUARDED_BY(mutex_) = 0;
  bool hurry_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace sinkstream
