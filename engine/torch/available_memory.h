// How much memory this process may still take.
#pragma once

#include <cstdint>
#include <string>

namespace sinkstream {

// Bytes: what the system has to spare (MemAvailable), or less where a control group limits the
// process. `root` stands before /proc and /sys in tests. INT64_MAX where the system does not say.
int64_t AvailableMemory(const std::string& root = "");

}  // namespace sinkstream
