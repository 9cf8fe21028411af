// DiskPark: a BlockPark of files. A session's copies are one file, which has no name in its
// directory: it is gone with the process, however that ends. A copy that has changed meanwhile is
// DATA_LOSS. One thread reads and writes; the engine's waits for no disk.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/kv/block_park.h"
#include "engine/sync.h"

namespace sinkstream {

class DiskPark final : public BlockPark {
 public:
  struct Options {
    std::string directory;
    int64_t bytes = 0;  // of all files together
  };

  // `model` outlives this. `on_outcome`: called on this object's own thread. INVALID_ARGUMENT if no
  // file can be made in the directory, RESOURCE_EXHAUSTED if the system refuses the thread.
  static absl::StatusOr<std::unique_ptr<DiskPark>> Create(Options options, Model& model,
                                                          std::function<void(Outcome)> on_outcome);
  // Gives up what has been started; its outcome may never come.
  ~DiskPark() override;

  bool HasRoom(size_t tickets, size_t blocks) const override;
  ParkTicket Save(std::vector<BlockId> blocks) override;
  void Load(ParkTicket ticket, std::vector<BlockId> blocks) override;
  void Drop(ParkTicket ticket) override;

 private:
  enum class Kind { kSave, kLoad, kDrop };
  struct Job {
    Kind kind = Kind::kSave;
    ParkTicket ticket = 0;
    std::vector<BlockId> blocks;
  };

  DiskPark(Options options, Model& model, std::function<void(Outcome)> on_outcome);
  void Give(Job job);
  void Work();
  void Do(const Job& job);
  absl::Status Write(const Job& job);
  absl::Status Read(const Job& job);
  bool Stopping();

  const Options options_;
  Model& model_;
  const std::function<void(Outcome)> on_outcome_;
  const size_t most_files_;  // the rest of the process's descriptors are for its clients

  std::map<ParkTicket, size_t> blocks_of_;  // engine thread
  size_t blocks_ = 0;                       // engine thread: of all tickets
  ParkTicket next_ticket_ = 1;              // engine thread

  struct File {
    int descriptor = -1;
    std::vector<size_t> digests;  // of its blocks: what is read back must be what was written
  };
  std::map<ParkTicket, File> files_;  // own thread
  std::vector<char> buffer_;          // own thread: one block

  Mutex mutex_;
  CondVar given_;
  std::deque<Job> jobs_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // last: it uses everything above
};

}  // namespace sinkstream
