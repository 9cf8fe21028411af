#include "server/security/small_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace sinkstream {
namespace {

absl::Status FileFault(const std::string& path, const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat(path, ": ", what));
}

int64_t Nanoseconds(const timespec& time) {
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

}  // namespace

absl::StatusOr<std::string> ReadSmallFile(const std::string& path) {
  // A pipe would hold us up until somebody writes.
  const int fd = open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  if (fd < 0) return FileFault(path, std::strerror(errno));
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(fdopen(fd, "rb"), std::fclose);
  if (file == nullptr) {
    close(fd);
    return FileFault(path, std::strerror(ENOMEM));
  }
  struct stat facts = {};
  if (fstat(fd, &facts) != 0) return FileFault(path, std::strerror(errno));
  if (!S_ISREG(facts.st_mode)) return FileFault(path, "is not a plain file");
  std::string content(kMostFileBytes + 1, '\0');
  content.resize(std::fread(content.data(), 1, content.size(), file.get()));
  if (std::ferror(file.get()) != 0) return FileFault(path, "cannot be read");
  if (content.size() > kMostFileBytes) {
    return FileFault(path, absl::StrCat("is longer than ", kMostFileBytes, " bytes"));
  }
  return content;
}

FileStamp StampOf(const std::string& path) {
  struct stat facts = {};
  if (stat(path.c_str(), &facts) != 0) return {};
  return {facts.st_dev, facts.st_ino, facts.st_size, Nanoseconds(facts.st_ctim),
          Nanoseconds(facts.st_mtim)};
}

std::string OpenToOthers(const std::string& path) {
  constexpr mode_t kOthers = S_IWGRP | S_IRWXO;
  struct stat facts = {};
  if (stat(path.c_str(), &facts) != 0 || (facts.st_mode & kOthers) == 0) return "";
  return absl::StrFormat("%s: is a secret that others may read or write (mode %04o); chmod 600",
                         path, facts.st_mode & 07777);
}

}  // namespace sinkstream
