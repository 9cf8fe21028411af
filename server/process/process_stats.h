// What the system knows of this process. Source: /proc/self, getrlimit.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"

namespace sinkstream {

struct ProcessStats {
  double cpu_seconds = 0;    // user and system
  double start_seconds = 0;  // since the epoch
  int64_t resident_bytes = 0;
  int64_t virtual_bytes = 0;
  int32_t threads = 0;
  int32_t open_fds = 0;
  int64_t max_fds = 0;  // the soft limit
};

// INTERNAL if it cannot be read. Any thread. Takes time in proportion to the open files.
absl::StatusOr<ProcessStats> ReadProcessStats();
// Of that, resident_bytes alone.
absl::StatusOr<int64_t> ReadResidentBytes();

}  // namespace sinkstream
