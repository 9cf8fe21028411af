#include "client/tool/output_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace sinkstream {
namespace {

namespace fs = std::filesystem;

absl::Status WriteError(const std::string& path) {
  const absl::Status why = absl::ErrnoToStatus(errno, "cannot write");
  return absl::Status(why.code(), absl::StrCat(path, ": ", why.message()));
}

// Where what is given as a path goes to.
struct Place {
  std::string path;     // behind all links
  int descriptor = -1;  // of this process, instead: its file may be no path's, or be written to
  std::string name;     // in errors
};

// The descriptor of this process that `path` is, if it is one; `folder`: where it lies, without
// links.
int DescriptorAt(const fs::path& folder, const fs::path& path) {
  std::error_code error;
  int number = 0;
  const bool is_one = folder == fs::canonical("/proc/self/fd", error) &&
                      absl::SimpleAtoi(path.filename().string(), &number);
  return is_one ? number : -1;
}

Place Resolve(const std::string& path) {
  constexpr int kMostLinks = 40;  // as the kernel has it
  Place place{path, -1, path};
  fs::path next = path;
  for (int i = 0; i < kMostLinks; ++i) {
    std::error_code error;
    const fs::path folder =
        fs::canonical(next.has_parent_path() ? next.parent_path() : fs::path("."), error);
    if (error) return place;
    place.path = folder / next.filename();
    place.descriptor = DescriptorAt(folder, next);
    const fs::path target = fs::read_symlink(place.path, error);
    if (error || place.descriptor >= 0) return place;
    next = folder / target;
  }
  return {path, -1, path};
}

bool IsFolder(const Place& place) {
  struct stat about = {};
  return stat(place.path.c_str(), &about) == 0 && S_ISDIR(about.st_mode);
}

// To be written to, not replaced. A link that is left leads nowhere: so says whoever opens it.
bool IsSpecial(const Place& place) {
  struct stat about = {};
  return place.descriptor >= 0 || place.path.starts_with("/proc/") ||
         (lstat(place.path.c_str(), &about) == 0 && !S_ISREG(about.st_mode));
}

bool TakesWrites(const Place& place) {
  if (place.descriptor < 0) return access(place.path.c_str(), W_OK) == 0;
  const int flags = fcntl(place.descriptor, F_GETFL);
  if (flags >= 0 && (flags & O_ACCMODE) == O_RDONLY) errno = EBADF;
  return flags >= 0 && (flags & O_ACCMODE) != O_RDONLY;
}

Place Unfinished(const Place& place) {
  const std::string path = absl::StrCat(place.path, ".", getpid(), ".unfinished");
  return {path, -1, place.name};
}

int Open(const Place& place) {
  if (place.descriptor < 0) {
    return open(place.path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  }
  std::fflush(stdout);  // were it that: behind what was printed
  return fcntl(place.descriptor, F_DUPFD_CLOEXEC, 0);
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
absl::Status WriteTo(const Place& place, std::string_view content, bool durable) {
  const int file = Open(place);
  if (file < 0) return WriteError(place.name);
  absl::Status status;
  if (!WriteAll(file, content) || (durable && fsync(file) != 0)) status = WriteError(place.name);
  if (close(file) != 0) status.Update(WriteError(place.name));
  return status;
}

}  // namespace

absl::Status CheckWritable(const std::string& path) {
  const Place place = Resolve(path);
  if (place.descriptor < 0 && IsFolder(place)) {
    errno = EISDIR;
    return WriteError(path);
  }
  if (IsSpecial(place)) return TakesWrites(place) ? absl::OkStatus() : WriteError(path);
  const Place unfinished = Unfinished(place);
  const absl::Status status = WriteTo(unfinished, "", /*durable=*/false);
  if (!status.ok()) return status;
  std::remove(unfinished.path.c_str());
  return absl::OkStatus();
}

absl::Status WriteWhole(const std::string& path, std::string_view content) {
  const Place place = Resolve(path);
  if (IsSpecial(place)) return WriteTo(place, content, /*durable=*/false);
  const Place unfinished = Unfinished(place);
  absl::Status status = WriteTo(unfinished, content, /*durable=*/true);
  if (status.ok() && std::rename(unfinished.path.c_str(), place.path.c_str()) != 0) {
    status = WriteError(path);
  }
  if (!status.ok()) std::remove(unfinished.path.c_str());
  return status;
}

}  // namespace sinkstream
