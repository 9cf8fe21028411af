// FileBacked: a value that is read from files, and read again when they change. While they cannot
// be read the last good value stays.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "engine/sync.h"
#include "server/small_file.h"

namespace sinkstream {

template <typename T>
class FileBacked {
 public:
  // `load` reads `paths`.
  FileBacked(std::vector<std::string> paths, std::function<absl::StatusOr<T>()> load)
      : paths_(std::move(paths)), load_(std::move(load)) {}

  // One thread at a time. True: a new value is there. False: the files are as they were at the last
  // call. An error is told once for each change of the files.
  absl::StatusOr<bool> Refresh() {
    // Before they are read: who writes meanwhile is noticed at the next call.
    std::vector<FileStamp> stamps;
    stamps.reserve(paths_.size());
    for (const std::string& path : paths_) stamps.push_back(StampOf(path));
    if (stamps == stamps_) return false;
    stamps_ = std::move(stamps);
    auto loaded = load_();
    if (!loaded.ok()) return loaded.status();
    auto value = std::make_shared<const T>(*std::move(loaded));
    MutexLock lock(mutex_);
    value_ = std::move(value);
    return true;
  }

  // Any thread. Null before the first good Refresh().
  std::shared_ptr<const T> Get() const {
    MutexLock lock(mutex_);
    return value_;
  }

 private:
  const std::vector<std::string> paths_;
  const std::function<absl::StatusOr<T>()> load_;
  std::vector<FileStamp> stamps_;
  mutable Mutex mutex_;
  std::shared_ptr<const T> value_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace sinkstream
