// KvBlocks: which blocks of the model's KV pool are in use. Blocks are counted by reference, so
// that sessions with the same pinned prefix may share them. Integers only. Engine thread only.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/model.h"

namespace sinkstream {

class KvBlocks {
 public:
  explicit KvBlocks(int32_t num_blocks);

  int32_t total() const { return static_cast<int32_t>(references_.size()); }
  int32_t available() const { return static_cast<int32_t>(free_.size()); }
  int32_t used() const { return total() - available(); }

  // A block with one reference. Requires: available() > 0. The last one released comes first: it
  // may still be in cache.
  BlockId Take();
  // One reference more. Requires: `block` is in use.
  void Share(BlockId block);
  // One reference less; the last one frees the block. Requires: `block` is in use.
  void Release(BlockId block);

 private:
  std::vector<int32_t> references_;  // by block
  std::vector<BlockId> free_;        // a stack
};

}  // namespace sinkstream
