// BlockPark: the seam between the engine and a place outside memory that keeps copies of KV blocks.
// engine/kv/disk_park implements it with files, tests/fakes with vectors.
//
// A ticket names one session's copies, from Save to Drop. What Save and Load start goes on beside
// the engine thread and ends with an outcome, in the order in which it was started. Meanwhile
// nobody else may touch the blocks. Engine thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "engine/model.h"

namespace sinkstream {

using ParkTicket = uint64_t;

class BlockPark {
 public:
  struct Outcome {
    ParkTicket ticket = 0;
    // RESOURCE_EXHAUSTED: no space where the copies go. DATA_LOSS: they cannot be read back.
    // CANCELLED: the park is being destroyed.
    absl::Status status;
  };

  virtual ~BlockPark() = default;

  // True if so many tickets more, with copies of `blocks` in all, are within its bounds beside
  // those at hand.
  virtual bool HasRoom(size_t tickets, size_t blocks) const = 0;
  // Copies the contents of `blocks` out. It is for the caller to keep to HasRoom.
  virtual ParkTicket Save(std::vector<BlockId> blocks) = 0;
  // Copies them into `blocks`, of the number and in the order that were saved. Requires: the
  // ticket's Save has ended well.
  virtual void Load(ParkTicket ticket, std::vector<BlockId> blocks) = 0;
  // Forgets the copies. Requires: what was started with this ticket has ended.
  virtual void Drop(ParkTicket ticket) = 0;
};

}  // namespace sinkstream
