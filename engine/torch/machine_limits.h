// How much of the machine this process may still take: what the system grants, or less where a
// control group (v1 or v2) of the process, or one that this group lies in, limits it. `root` stands
// before /proc and /sys in tests. Any thread.
#pragma once

#include <cstdint>
#include <string>

namespace sinkstream {

inline constexpr int kMaxThreads = 1024;  // of a process, for operators

// Bytes: what the system has to spare (MemAvailable), or the smallest remainder of a group: its
// limit less what it uses; inactive file pages do not count as used, since the system takes them
// back. INT64_MAX where the system does not say.
int64_t AvailableMemory(const std::string& root = "");

// From 1 to kMaxThreads: the processors the process may run on, or the smallest quota of a group,
// rounded up.
int AvailableProcessors(const std::string& root = "");

}  // namespace sinkstream
