// The time of a load: of a clock that nobody sets, so that no latency jumps with the wall clock.
#pragma once

#include <chrono>

#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace sinkstream::loadgen {

class Clock {
 public:
  virtual ~Clock() = default;

  // Any thread. Its epoch may not be that of absl::Now(): only differences mean something.
  virtual absl::Time Now() const = 0;

  // Returns once `ready` holds, or at `until`. The caller holds `mutex`, which guards what `ready`
  // looks at, and holds it again afterwards.
  virtual void Await(absl::Mutex& mutex, const absl::Condition& ready, absl::Time until) = 0;
};

class SteadyClock final : public Clock {
 public:
  absl::Time Now() const override {
    return absl::UnixEpoch() +
           absl::FromChrono(std::chrono::steady_clock::now().time_since_epoch());
  }
  void Await(absl::Mutex& mutex, const absl::Condition& ready, absl::Time until) override {
    mutex.AwaitWithTimeout(ready, until - Now());
  }
};

}  // namespace sinkstream::loadgen
