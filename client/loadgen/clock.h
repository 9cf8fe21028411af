// The time of a load: of a clock that nobody sets, so that no latency jumps with the wall clock.
//
// Threads: any.
#pragma once

#include <chrono>

#include "absl/time/time.h"

namespace sinkstream::loadgen {

// Its epoch is not that of absl::Now(): only differences mean something.
inline absl::Time SteadyNow() {
  return absl::UnixEpoch() + absl::FromChrono(std::chrono::steady_clock::now().time_since_epoch());
}

}  // namespace sinkstream::loadgen
