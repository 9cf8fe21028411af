// Clock: monotonic time as a parameter, so that tests need no sleep (tests/fakes/fake_clock.h).
#pragma once

#include <chrono>

#include "absl/time/time.h"

namespace sinkstream {

class Clock {
 public:
  virtual ~Clock() = default;
  // Monotonic, from an arbitrary origin: only differences mean anything. Any thread.
  virtual absl::Time Now() const = 0;
};

class MonotonicClock final : public Clock {
 public:
  absl::Time Now() const override {
    const auto since_boot = std::chrono::steady_clock::now().time_since_epoch();
    return absl::UnixEpoch() + absl::FromChrono(since_boot);
  }
};

}  // namespace sinkstream
