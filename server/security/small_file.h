// Files of settings: read whole, known by a stamp that changes with them.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace sinkstream {

inline constexpr size_t kMostFileBytes = size_t{1} << 20;

// INVALID_ARGUMENT, naming `path`: it cannot be read, is no plain file or longer than
// kMostFileBytes.
absl::StatusOr<std::string> ReadSmallFile(const std::string& path);

// What a file that is written or replaced does not keep.
struct FileStamp {
  uint64_t device = 0, inode = 0;
  int64_t bytes = 0, changed = 0, modified = 0;  // the latter two in nanoseconds
  friend bool operator==(const FileStamp&, const FileStamp&) = default;
};
// Of what `path` leads to; all zeros if that is nothing.
FileStamp StampOf(const std::string& path);

// "PATH: ...", if others than its owner and group may read it, or others than its owner write it;
// else empty.
std::string OpenToOthers(const std::string& path);

}  // namespace sinkstream
