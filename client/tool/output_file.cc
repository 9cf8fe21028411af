#include "client/tool/output_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "absl/strings/str_cat.h"

namespace sinkstream {
namespace {

absl::Status FileError(const std::string& path) {
  const absl::Status why = absl::ErrnoToStatus(errno, "cannot write");
  return absl::Status(why.code(), absl::StrCat(path, ": ", why.message()));
}

bool IsFolder(const std::string& path) {
  struct stat about = {};
  return stat(path.c_str(), &about) == 0 && S_ISDIR(about.st_mode);
}

bool IsSpecial(const std::string& path) {
  struct stat about = {};
  return stat(path.c_str(), &about) == 0 && !S_ISREG(about.st_mode);
}

std::string Unfinished(const std::string& path) {
  return absl::StrCat(path, ".", getpid(), ".unfinished");
}

bool WriteAll(int file, std::string_view content) {
  while (!content.empty()) {
    const ssize_t count = write(file, content.data(), content.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return false;
    content.remove_prefix(static_cast<size_t>(count));
  }
  return true;
}

// `durable`: also once the power fails.
absl::Status WriteTo(const std::string& path, std::string_view content, bool durable) {
  const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file < 0) return FileError(path);
  absl::Status status;
  if (!WriteAll(file, content) || (durable && fsync(file) != 0)) status = FileError(path);
  if (close(file) != 0) status.Update(FileError(path));
  return status;
}

}  // namespace

absl::Status CheckWritable(const std::string& path) {
  if (IsFolder(path)) {
    errno = EISDIR;
    return FileError(path);
  }
  if (IsSpecial(path)) {
    return access(path.c_str(), W_OK) == 0 ? absl::OkStatus() : FileError(path);
  }
  const std::string unfinished = Unfinished(path);
  const absl::Status status = WriteTo(unfinished, "", /*durable=*/false);
  if (!status.ok()) return status;
  std::remove(unfinished.c_str());
  return absl::OkStatus();
}

absl::Status WriteWhole(const std::string& path, std::string_view content) {
  if (IsSpecial(path)) return WriteTo(path, content, /*durable=*/false);
  const std::string unfinished = Unfinished(path);
  absl::Status status = WriteTo(unfinished, content, /*durable=*/true);
  if (status.ok() && std::rename(unfinished.c_str(), path.c_str()) != 0) status = FileError(path);
  if (!status.ok()) std::remove(unfinished.c_str());
  return status;
}

}  // namespace sinkstream
