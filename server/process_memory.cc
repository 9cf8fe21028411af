#include "server/process_memory.h"

#include <unistd.h>

#include <fstream>

#include "absl/status/status.h"

namespace sinkstream {

absl::StatusOr<int64_t> ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  int64_t virtual_pages = 0;
  int64_t resident_pages = 0;
  if (statm >> virtual_pages >> resident_pages) return resident_pages * sysconf(_SC_PAGESIZE);
  return absl::InternalError("/proc/self/statm cannot be read");
}

}  // namespace sinkstream
