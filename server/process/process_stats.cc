#include "server/process/process_stats.h"

#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <system_error>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"

namespace sinkstream {
namespace {

// Fields of /proc/self/stat behind the process's name, which may hold anything (proc(5)); the
// first of them is the third there.
enum Field : size_t {
  kUserTicks = 11,
  kSystemTicks,
  kThreads = 17,
  kStartTicks = 19,
  kVirtualBytes,
  kResidentPages
};

std::vector<std::string> StatFields() {
  std::ifstream file("/proc/self/stat");
  const std::string stat((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const size_t name_end = stat.rfind(')');
  if (name_end == std::string::npos) return {};
  return absl::StrSplit(stat.substr(name_end + 1), ' ', absl::SkipWhitespace());
}

// When the system started, since the epoch; 0 if that is not told.
double BootSeconds() {
  std::ifstream stat("/proc/stat");
  std::string key, rest;
  while (stat >> key) {
    double seconds = 0;
    if (key == "btime" && stat >> seconds) return seconds;
    std::getline(stat, rest);
  }
  return 0;
}

int32_t OpenFds() {
  std::error_code error;
  int32_t count = 0;
  for (auto it = std::filesystem::directory_iterator("/proc/self/fd", error);
       !error && it != std::filesystem::directory_iterator(); it.increment(error)) {
    ++count;
  }
  return count - (count > 0 ? 1 : 0);  // one of them was this loop's
}

int64_t MaxFds() {
  rlimit limit = {};
  getrlimit(RLIMIT_NOFILE, &limit);
  return static_cast<int64_t>(limit.rlim_cur);
}

}  // namespace

absl::StatusOr<int64_t> ReadResidentBytes() {
  std::ifstream file("/proc/self/statm");
  int64_t pages = 0, resident_pages = 0;
  if (!(file >> pages >> resident_pages)) {
    return absl::InternalError("/proc/self/statm cannot be read");
  }
  return resident_pages * sysconf(_SC_PAGESIZE);
}

absl::StatusOr<ProcessStats> ReadProcessStats() {
  const std::vector<std::string> fields = StatFields();
  const auto number = [&](Field field) {
    double value = 0;
    return field < fields.size() && absl::SimpleAtod(fields[field], &value) ? value : 0;
  };
  if (fields.size() <= kResidentPages) return absl::InternalError("/proc/self/stat cannot be read");
  const auto ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
  // Once: it moves with the system's clock, and a process starts but once.
  static const double boot_seconds = BootSeconds();
  ProcessStats stats;
  stats.cpu_seconds = (number(kUserTicks) + number(kSystemTicks)) / ticks;
  stats.start_seconds = boot_seconds + number(kStartTicks) / ticks;
  stats.resident_bytes = static_cast<int64_t>(number(kResidentPages)) * sysconf(_SC_PAGESIZE);
  stats.virtual_bytes = static_cast<int64_t>(number(kVirtualBytes));
  stats.threads = static_cast<int32_t>(number(kThreads));
  stats.open_fds = OpenFds();
  stats.max_fds = MaxFds();
  return stats;
}

}  // namespace sinkstream
