// KvWindow: one session's sink and window arithmetic and its block table. Pure integers: no memory,
// no model.
//
// Text position n sees the pinned tokens {0 .. S-1} and the recent tokens {max(S, n-W+1) .. n}
// (StreamingLLM, Xiao et al. 2023; docs/adr/0003). Pinned token i lies in pinned block i / B,
// recent token m in recent block (m - S) / B, so a token's slot depends on its position alone and
// pinned blocks can be shared whole. A recent block goes back to the pool as soon as no later token
// can see any of it. Owned by its session; engine thread only.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/kv/kv_blocks.h"

namespace sinkstream {

// Most blocks a session holds between steps: ceil(S / B) pinned ones and what W tokens touch at
// worst.
int64_t MaxSessionBlocks(int32_t sinks, int64_t window, int32_t block_tokens);

// Most blocks beyond MaxSessionBlocks that a step of `rows` rows in at most `sequences` prefills
// takes meanwhile.
int32_t StepSlackBlocks(int32_t rows, int32_t sequences, int32_t block_tokens);

class KvWindow {
 public:
  // sinks >= 0, window >= 1, block_tokens >= 1.
  KvWindow(int32_t sinks, int64_t window, int32_t block_tokens);

  int32_t sinks() const { return sinks_; }
  int64_t window() const { return window_; }
  int64_t position() const { return position_; }  // tokens of the stream so far
  // Tokens that the next token will not see: e(n) = max(0, n-W+1-S) at n = position().
  int64_t evicted() const;
  // Tokens that the next token will see, itself aside.
  int64_t visible() const { return position_ - evicted(); }
  // Text position of the oldest recent token that the next token will see.
  int64_t first_recent() const { return sinks_ + evicted(); }

  // Puts `pinned`, blocks that hold the first `sinks` tokens of this stream already, in the place
  // of whatever pinned blocks there are; a reference to each is taken. Requires: position() is 0,
  // which then becomes sinks(), or at least sinks().
  void UsePinned(const std::vector<BlockId>& pinned, KvBlocks& blocks);

  // Rows that a step may feed without more blocks than MaxSessionBlocks counts; at least 1.
  int64_t RowsWithinReservation() const;

  // Takes from `blocks` what the next `rows` tokens need. Requires: enough are available (admission
  // sees to it).
  void Reserve(int32_t rows, KvBlocks& blocks);
  // `rows` tokens have been fed: moves on and gives back what has left the window.
  void Advance(int32_t rows, KvBlocks& blocks);
  // The tokens that Reserve was called for, or those behind the ones that Advance was, were not fed
  // after all: gives back what it took for them. What a step wrote there is never seen: a slot is
  // written anew before a row sees it.
  void CancelReservation(KvBlocks& blocks);
  // Gives back its recent blocks, and with `pinned_too` the pinned ones, but stands where it stood:
  // Refill takes as many again, whose contents are the caller's business. Nothing else may be
  // called between the two, but Clear.
  void Vacate(bool pinned_too, KvBlocks& blocks);
  void Refill(KvBlocks& blocks);
  // Gives everything back. The window is then empty for good.
  void Clear(KvBlocks& blocks);

  const std::vector<BlockId>& pinned_blocks() const { return pinned_; }
  const std::vector<BlockId>& recent_blocks() const { return recent_; }
  int64_t first_recent_block() const { return first_recent_block_; }

 private:
  // So many hold the pinned tokens before `position`.
  int64_t PinnedBlocks(int64_t position) const;
  // One past the recent block of the last token before `position`.
  int64_t RecentEnd(int64_t position) const;

  const int32_t sinks_;
  const int64_t window_;
  const int32_t block_tokens_;
  int64_t position_ = 0;
  std::vector<BlockId> pinned_;
  std::vector<BlockId> recent_;  // blocks first_recent_block_, first_recent_block_ + 1, ...
  int64_t first_recent_block_ = 0;
};

}  // namespace sinkstream
