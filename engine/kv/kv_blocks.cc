#include "engine/kv/kv_blocks.h"

#include "engine/check.h"

namespace sinkstream {

KvBlocks::KvBlocks(int32_t num_blocks) : references_(num_blocks, 0) {
  free_.reserve(num_blocks);
  for (BlockId block = num_blocks - 1; block >= 0; --block) free_.push_back(block);
}

BlockId KvBlocks::Take() {
  SINKSTREAM_CHECK(!free_.empty());
  const BlockId block = free_.back();
  free_.pop_back();
  references_[block] = 1;
  return block;
}

void KvBlocks::Share(BlockId block) {
  SINKSTREAM_CHECK(references_[block] > 0);
  ++references_[block];
}

void KvBlocks::Release(BlockId block) {
  SINKSTREAM_CHECK(references_[block] > 0);
  if (--references_[block] == 0) free_.push_back(block);
}

}  // namespace sinkstream
