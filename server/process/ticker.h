// Ticker: a thread of its own that calls a function every now and then.
#pragma once

#include <functional>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "engine/sync.h"

namespace sinkstream {

class Ticker {
 public:
  // `tick` must not throw; it is first called after one `interval`, and never twice at a time.
  Ticker(absl::Duration interval, std::function<void()> tick);
  // `tick` does not run when it returns, and never will.
  ~Ticker();
  Ticker(const Ticker&) = delete;
  Ticker& operator=(const Ticker&) = delete;

 private:
  void Run();
  // False: it is over.
  bool AwaitTick();

  const absl::Duration interval_;
  const std::function<void()> tick_;
  Mutex mutex_;
  CondVar changed_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace sinkstream
