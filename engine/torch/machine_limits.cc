#include "engine/torch/machine_limits.h"

#include <sched.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>
#include <thread>
#include <vector>

#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

namespace sinkstream {
namespace {

constexpr int64_t kUnknown = std::numeric_limits<int64_t>::max();

// Absent where the file is, or says "max".
std::optional<int64_t> NumberIn(const std::string& path) {
  std::ifstream file(path);
  int64_t number = 0;
  if (file >> number) return number;
  return std::nullopt;
}

// The number after `name`, of a file of lines of a name and a number.
std::optional<int64_t> NumberAfter(const std::string& name, const std::string& path) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string first;
    int64_t number = 0;
    if (words >> first >> number && first == name) return number;
  }
  return std::nullopt;
}

int64_t SystemMemory(const std::string& root) {
  const auto kibibytes = NumberAfter("MemAvailable:", root + "/proc/meminfo");
  return kibibytes.has_value() ? *kibibytes * 1024 : kUnknown;
}

// `folder` and those above it, as far as `mount`.
std::vector<std::string> Upwards(const std::string& mount, std::string path) {
  std::vector<std::string> folders;
  const bool outside = path == "/.." || path.starts_with("/../");  // of what is mounted
  while (path.size() > 1 && !outside) {
    folders.push_back(mount + path);
    path.resize(path.rfind('/'));
  }
  folders.push_back(mount);
  return folders;
}

// Folders of the process's group under `controller` and of those it lies in; `controller` is empty
// for v2. A line of the file is number:controllers:path.
std::vector<std::string> Groups(const std::string& root, const std::string& controller) {
  const std::string mounts = root + "/sys/fs/cgroup";
  std::ifstream file(root + "/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const std::vector<std::string> fields = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (fields.size() != 3) continue;
    const std::vector<std::string> controllers = absl::StrSplit(fields[1], ',');
    if (std::find(controllers.begin(), controllers.end(), controller) == controllers.end()) {
      continue;
    }
    return Upwards(controller.empty() ? mounts : mounts + "/" + controller, fields[2]);
  }
  return {};
}

struct MemoryFiles {
  const char* controller;
  const char* limit;
  const char* used;
  const char* inactive;  // in memory.stat
};
constexpr MemoryFiles kMemoryV1 = {"memory", "/memory.limit_in_bytes", "/memory.usage_in_bytes",
                                   "total_inactive_file"};
constexpr MemoryFiles kMemoryV2 = {"", "/memory.max", "/memory.current", "inactive_file"};

int64_t GroupMemory(const std::string& root, const MemoryFiles& files) {
  int64_t least = kUnknown;
  for (const std::string& folder : Groups(root, files.controller)) {
    const auto limit = NumberIn(folder + files.limit);
    const auto used = NumberIn(folder + files.used);
    if (!limit.has_value() || !used.has_value()) continue;
    const int64_t inactive = NumberAfter(files.inactive, folder + "/memory.stat").value_or(0);
    least = std::min(least, std::max<int64_t>(0, *limit - std::max<int64_t>(0, *used - inactive)));
  }
  return least;
}

// Both in microseconds; a quota of v1 is -1 where there is none.
int64_t Processors(std::optional<int64_t> quota, std::optional<int64_t> period) {
  if (!quota.has_value() || !period.has_value() || *quota <= 0 || *period <= 0) return kUnknown;
  return (*quota - 1) / *period + 1;
}

int64_t GroupProcessors(const std::string& root) {
  int64_t least = kUnknown;
  for (const std::string& folder : Groups(root, "")) {
    std::ifstream file(folder + "/cpu.max");
    int64_t quota = 0, period = 0;
    if (file >> quota >> period) least = std::min(least, Processors(quota, period));
  }
  for (const std::string& folder : Groups(root, "cpu")) {
    least = std::min(least, Processors(NumberIn(folder + "/cpu.cfs_quota_us"),
                                       NumberIn(folder + "/cpu.cfs_period_us")));
  }
  return least;
}

int64_t SystemProcessors() {
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) return CPU_COUNT(&allowed);
  return std::thread::hardware_concurrency();  // more processors than the set has room for
}

}  // namespace

int64_t AvailableMemory(const std::string& root) {
  return std::min({SystemMemory(root), GroupMemory(root, kMemoryV1), GroupMemory(root, kMemoryV2)});
}

int AvailableProcessors(const std::string& root) {
  const int64_t processors = std::min(SystemProcessors(), GroupProcessors(root));
  return static_cast<int>(std::clamp<int64_t>(processors, 1, kMaxThreads));
}

}  // namespace sinkstream
