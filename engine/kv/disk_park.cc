#include "engine/kv/disk_park.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <system_error>
#include <utility>

#include "absl/hash/hash.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "engine/check.h"

namespace sinkstream {
namespace {

std::string ErrorText() { return std::strerror(errno); }

// A new file without a name; -1 and errno if there is none to be had.
int OpenNamelessFile(const std::string& directory) {
  const int nameless = open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, S_IRUSR | S_IWUSR);
  if (nameless >= 0) return nameless;
  std::string name = directory + "/sinkstream-park-XXXXXX";  // not every file system has the former
  const int file = mkostemp(name.data(), O_CLOEXEC);
  if (file >= 0) unlink(name.c_str());
  return file;
}

// False and errno for what is not written whole.
bool WriteAll(int file, const char* from, size_t size) {
  while (size > 0) {
    const ssize_t written = write(file, from, size);
    if (written < 0 && errno == EINTR) continue;
    if (written == 0) errno = ENOSPC;
    if (written <= 0) return false;
    from += written;
    size -= static_cast<size_t>(written);
  }
  return true;
}

// False and errno for what is not read whole.
bool ReadAll(int file, char* to, size_t size, off_t offset) {
  while (size > 0) {
    const ssize_t got = pread(file, to, size, offset);
    if (got < 0 && errno == EINTR) continue;
    if (got == 0) errno = EIO;  // shorter than it was written
    if (got <= 0) return false;
    to += got;
    offset += got;
    size -= static_cast<size_t>(got);
  }
  return true;
}

// Good within a process.
size_t Digest(const std::vector<char>& block) {
  return absl::HashOf(absl::string_view(block.data(), block.size()));
}

size_t FilesOfTheProcess() {
  rlimit limit = {};
  getrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_cur;
}

}  // namespace

absl::StatusOr<std::unique_ptr<DiskPark>> DiskPark::Create(
    Options options, Model& model, std::function<void(Outcome)> on_outcome) {
  const int file = OpenNamelessFile(options.directory);
  if (file < 0) {
    return absl::InvalidArgumentError(absl::StrCat("park_directory: no file can be made in ",
                                                   options.directory, ": ", ErrorText()));
  }
  close(file);
  try {
    return std::unique_ptr<DiskPark>(
        new DiskPark(std::move(options), model, std::move(on_outcome)));
  } catch (const std::system_error& error) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the system refuses the thread that parks sessions: ", error.what()));
  }
}

DiskPark::DiskPark(Options options, Model& model, std::function<void(Outcome)> on_outcome)
    : options_(std::move(options)),
      model_(model),
      on_outcome_(std::move(on_outcome)),
      most_files_(FilesOfTheProcess() / 2),
      buffer_(static_cast<size_t>(model.Spec().block_bytes)),
      thread_([this] { Work(); }) {}

DiskPark::~DiskPark() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  given_.NotifyOne();
  thread_.join();
  for (const auto& [ticket, file] : files_) close(file.descriptor);
}

bool DiskPark::HasRoom(size_t tickets, size_t blocks) const {
  const auto bytes = static_cast<int64_t>(blocks_ + blocks) * model_.Spec().block_bytes;
  return bytes <= options_.bytes && blocks_of_.size() + tickets <= most_files_;
}

ParkTicket DiskPark::Save(std::vector<BlockId> blocks) {
  const ParkTicket ticket = next_ticket_++;
  blocks_ += blocks_of_[ticket] = blocks.size();
  Give({Kind::kSave, ticket, std::move(blocks)});
  return ticket;
}

void DiskPark::Load(ParkTicket ticket, std::vector<BlockId> blocks) {
  SINKSTREAM_CHECK(blocks.size() == blocks_of_.at(ticket));
  Give({Kind::kLoad, ticket, std::move(blocks)});
}

void DiskPark::Drop(ParkTicket ticket) {
  const auto found = blocks_of_.find(ticket);
  SINKSTREAM_CHECK(found != blocks_of_.end());
  blocks_ -= found->second;
  blocks_of_.erase(found);
  Give({Kind::kDrop, ticket, {}});
}

void DiskPark::Give(Job job) {
  {
    MutexLock lock(mutex_);
    jobs_.push_back(std::move(job));
  }
  given_.NotifyOne();
}

bool DiskPark::Stopping() {
  MutexLock lock(mutex_);
  return stopping_;
}

void DiskPark::Work() {
  while (true) {
    Job job;
    {
      MutexLock lock(mutex_);
      while (jobs_.empty() && !stopping_) given_.Wait(mutex_);
      if (stopping_) return;
      job = std::move(jobs_.front());
      jobs_.pop_front();
    }
    Do(job);
  }
}

void DiskPark::Do(const Job& job) {
  if (job.kind == Kind::kDrop) {
    const auto found = files_.find(job.ticket);
    if (found == files_.end()) return;  // it could not be made
    close(found->second.descriptor);
    files_.erase(found);
    return;
  }
  on_outcome_({job.ticket, job.kind == Kind::kSave ? Write(job) : Read(job)});
}

absl::Status DiskPark::Write(const Job& job) {
  const auto failed = [this] {
    return absl::ResourceExhaustedError(
        absl::StrCat("park_directory ", options_.directory, ": ", ErrorText()));
  };
  const int descriptor = OpenNamelessFile(options_.directory);
  if (descriptor < 0) return failed();
  File& file = files_[job.ticket];
  file.descriptor = descriptor;
  for (const BlockId block : job.blocks) {
    if (Stopping()) return absl::CancelledError("stopping");
    model_.CopyOut(block, buffer_.data());
    file.digests.push_back(Digest(buffer_));
    if (!WriteAll(descriptor, buffer_.data(), buffer_.size())) return failed();
  }
  return absl::OkStatus();
}

absl::Status DiskPark::Read(const Job& job) {
  const auto lost = [this](const std::string& why) {
    return absl::DataLossError(absl::StrCat("park_directory ", options_.directory,
                                            ": a parked session cannot be read: ", why));
  };
  const File& file = files_.at(job.ticket);  // its Save has ended well
  off_t offset = 0;
  for (size_t i = 0; i < job.blocks.size(); ++i) {
    if (Stopping()) return absl::CancelledError("stopping");
    if (!ReadAll(file.descriptor, buffer_.data(), buffer_.size(), offset)) return lost(ErrorText());
    if (Digest(buffer_) != file.digests[i]) return lost("it is not what was written");
    offset += static_cast<off_t>(buffer_.size());
    model_.CopyIn(job.blocks[i], buffer_.data());
  }
  return absl::OkStatus();
}

}  // namespace sinkstream
