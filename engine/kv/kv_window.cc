#include "engine/kv/kv_window.h"

#include <algorithm>
#include <utility>

#include "engine/check.h"

namespace sinkstream {
namespace {

constexpr BlockId kVacant = -1;

int64_t CeilDiv(int64_t number, int64_t divisor) { return (number + divisor - 1) / divisor; }

}  // namespace

int64_t MaxSessionBlocks(int32_t sinks, int64_t window, int32_t block_tokens) {
  const int64_t pinned = CeilDiv(sinks, block_tokens);
  // A run of W tokens that starts in the last slot of a block touches the most.
  const int64_t recent = (window + block_tokens - 2) / block_tokens + 1;
  return pinned + recent;
}

int32_t StepSlackBlocks(int32_t rows, int32_t sequences, int32_t block_tokens) {
  return rows / block_tokens + sequences;
}

KvWindow::KvWindow(int32_t sinks, int64_t window, int32_t block_tokens)
    : sinks_(sinks), window_(window), block_tokens_(block_tokens) {}

int64_t KvWindow::evicted() const { return std::max<int64_t>(0, position_ - window_ + 1 - sinks_); }

int64_t KvWindow::PinnedBlocks(int64_t position) const {
  return CeilDiv(std::min<int64_t>(position, sinks_), block_tokens_);
}

int64_t KvWindow::RecentEnd(int64_t position) const {
  return CeilDiv(std::max<int64_t>(0, position - sinks_), block_tokens_);
}

void KvWindow::UsePinned(const std::vector<BlockId>& pinned, KvBlocks& blocks) {
  SINKSTREAM_CHECK(position_ == 0 || position_ >= sinks_);
  SINKSTREAM_CHECK(static_cast<int64_t>(pinned.size()) == PinnedBlocks(sinks_));
  for (const BlockId block : pinned) blocks.Share(block);
  for (const BlockId block : pinned_) blocks.Release(block);
  pinned_ = pinned;
  position_ = std::max<int64_t>(position_, sinks_);
}

int64_t KvWindow::RowsWithinReservation() const {
  const int64_t most =
      MaxSessionBlocks(sinks_, window_, block_tokens_) - CeilDiv(sinks_, block_tokens_);
  return sinks_ + (first_recent_block_ + most) * block_tokens_ - position_;
}

void KvWindow::Reserve(int32_t rows, KvBlocks& blocks) {
  const int64_t end = position_ + rows;
  while (static_cast<int64_t>(pinned_.size()) < PinnedBlocks(end)) pinned_.push_back(blocks.Take());
  while (first_recent_block_ + static_cast<int64_t>(recent_.size()) < RecentEnd(end)) {
    recent_.push_back(blocks.Take());
  }
}

void KvWindow::CancelReservation(KvBlocks& blocks) {
  const auto give_back = [&](std::vector<BlockId>& held, int64_t kept) {
    while (static_cast<int64_t>(held.size()) > kept) {
      blocks.Release(held.back());
      held.pop_back();
    }
  };
  give_back(pinned_, PinnedBlocks(position_));
  give_back(recent_, std::max<int64_t>(0, RecentEnd(position_) - first_recent_block_));
}

void KvWindow::Advance(int32_t rows, KvBlocks& blocks) {
  position_ += rows;
  const int64_t first_seen =
      evicted() / block_tokens_;  // recent block of the oldest token still seen
  const int64_t gone = std::clamp<int64_t>(first_seen - first_recent_block_, 0, recent_.size());
  for (int64_t i = 0; i < gone; ++i) blocks.Release(recent_[i]);
  recent_.erase(recent_.begin(), recent_.begin() + gone);
  first_recent_block_ += gone;
}

void KvWindow::Vacate(bool pinned_too, KvBlocks& blocks) {
  const auto vacate = [&](std::vector<BlockId>& held) {
    for (BlockId& block : held) blocks.Release(std::exchange(block, kVacant));
  };
  if (pinned_too) vacate(pinned_);
  vacate(recent_);
}

void KvWindow::Refill(KvBlocks& blocks) {
  for (auto* const held : {&pinned_, &recent_}) {
    for (BlockId& block : *held) {
      if (block == kVacant) block = blocks.Take();
    }
  }
}

void KvWindow::Clear(KvBlocks& blocks) {
  for (const auto* const held : {&pinned_, &recent_}) {
    for (const BlockId block : *held) {
      if (block != kVacant) blocks.Release(block);
    }
  }
  pinned_.clear();
  recent_.clear();
}

}  // namespace sinkstream
