// FileBacked: a value that is read from files, and read again when they change. While they cannot
// be read the last good value stays.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "engine/sync.h"
#include "server/security/small_file.h"

namespace sinkstream {

template <typename T>
class FileBacked {
 public:
  // `load` reads `paths`.
  FileBacked(std::vector<std::string> paths, std::function<absl::StatusOr<T>()> load)
      : paths_(std::move(paths)), load_(std::move(load)) {}

  // One thread at a time. True: a new value is there. False: the files are as they were when the
  // value was read, or the error is the one that was told last. Files that could not be read are
  // read anew at each call, as that may pass without a change of theirs; an error is told once for
  // each change of the files or of itself.
  absl::StatusOr<bool> Refresh() {
    // Before they are read: who writes meanwhile is noticed at the next call.
    std::vector<FileStamp> stamps = Stamps();
    if (stamps == read_) {
      told_ = {};
      current_ = true;
      return false;
    }
    auto loaded = load_();
    current_ = loaded.ok();
    if (!loaded.ok()) {
      Fault fault = {std::move(stamps), loaded.status()};
      if (fault == told_) return false;
      told_ = std::move(fault);
      return loaded.status();
    }
    read_ = std::move(stamps);
    told_ = {};
    auto value = std::make_shared<const T>(*std::move(loaded));
    MutexLock lock(mutex_);
    value_ = std::move(value);
    return true;
  }

  // Any thread. False if the last Refresh() could not read the files.
  bool IsCurrent() const { return current_; }

  // Any thread. Null before the first good Refresh().
  std::shared_ptr<const T> Get() const {
    MutexLock lock(mutex_);
    return value_;
  }

 private:
  struct Fault {
    std::vector<FileStamp> stamps;
    absl::Status status;
    friend bool operator==(const Fault&, const Fault&) = default;
  };

  std::vector<FileStamp> Stamps() const {
    std::vector<FileStamp> stamps;
    stamps.reserve(paths_.size());
    for (const std::string& path : paths_) stamps.push_back(StampOf(path));
    return stamps;
  }

  const std::vector<std::string> paths_;
  const std::function<absl::StatusOr<T>()> load_;
  std::vector<FileStamp> read_;  // of the files that the value was read from
  Fault told_;                   // of the last call
  std::atomic<bool> current_{false};
  mutable Mutex mutex_;
  std::shared_ptr<const T> value_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace sinkstream
