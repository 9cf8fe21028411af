// How much memory this process has in RAM.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"

namespace sinkstream {

// Unit: bytes. Source: /proc/self/statm. INTERNAL if it cannot be read.
absl::StatusOr<int64_t> ResidentBytes();

}  // namespace sinkstream
