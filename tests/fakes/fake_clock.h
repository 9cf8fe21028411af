// FakeClock: time that moves only when a test says so, or a step at each reading. Any thread.
#pragma once

#include <atomic>

#include "absl/time/time.h"
#include "engine/clock.h"

namespace sinkstream {

class FakeClock final : public Clock {
 public:
  // Relaxed, and nothing written without a step: else readings would order threads before each
  // other, and hide races from ThreadSanitizer.
  absl::Time Now() const override {
    const int64_t step = at_each_reading_.load(std::memory_order_relaxed);
    if (step == 0) return absl::FromUnixNanos(nanoseconds_.load(std::memory_order_relaxed));
    return absl::FromUnixNanos(nanoseconds_.fetch_add(step, std::memory_order_relaxed) + step);
  }
  void AdvanceAtEachReading(absl::Duration step) {
    at_each_reading_ = absl::ToInt64Nanoseconds(step);
  }
  void Advance(absl::Duration duration) { nanoseconds_ += absl::ToInt64Nanoseconds(duration); }

 private:
  std::atomic<int64_t> at_each_reading_{0};
  mutable std::atomic<int64_t> nanoseconds_{1'000'000'000};
};

}  // namespace sinkstream
