#include "engine/torch/available_memory.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>

namespace sinkstream {
namespace {

constexpr int64_t kUnknown = std::numeric_limits<int64_t>::max();

int64_t SystemMemory(const std::string& root) {
  std::ifstream file(root + "/proc/meminfo");
  std::string line;
  while (std::getline(file, line)) {
    constexpr char kName[] = "MemAvailable:";
    if (line.rfind(kName, 0) == 0)
      return std::strtoll(line.c_str() + sizeof kName - 1, nullptr, 10) * 1024;
  }
  return kUnknown;
}

// Absent where the file is, or says "max".
std::optional<int64_t> NumberIn(const std::string& path) {
  std::ifstream file(path);
  int64_t number = 0;
  if (file >> number) return number;
  return std::nullopt;
}

int64_t GroupMemory(const std::string& root) {
  const auto limit = NumberIn(root + "/sys/fs/cgroup/memory.max");
  const auto used = NumberIn(root + "/sys/fs/cgroup/memory.current");
  if (!limit.has_value() || !used.has_value()) return kUnknown;
  return std::max<int64_t>(0, *limit - *used);
}

}  // namespace

int64_t AvailableMemory(const std::string& root) {
  return std::min(SystemMemory(root), GroupMemory(root));
}

}  // namespace sinkstream
