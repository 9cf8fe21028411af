#include "engine/kv/kv_window.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <tuple>

namespace sinkstream {
namespace {

// What the header promises, said naively: the positions that token n sees.
std::set<int64_t> Seen(int64_t n, int32_t sinks, int64_t window) {
  std::set<int64_t> seen;
  for (int64_t i = 0; i < sinks && i <= n; ++i) seen.insert(i);
  for (int64_t m = std::max<int64_t>(sinks, n - window + 1); m <= n; ++m) seen.insert(m);
  return seen;
}

// True if the window's tables hold a block for `position`.
bool Holds(const KvWindow& window, int64_t position, int32_t block_tokens) {
  if (position < window.sinks()) {
    return position / block_tokens < static_cast<int64_t>(window.pinned_blocks().size());
  }
  const int64_t index = (position - window.sinks()) / block_tokens - window.first_recent_block();
  return index >= 0 && index < static_cast<int64_t>(window.recent_blocks().size());
}

class KvWindowTest : public testing::TestWithParam<std::tuple<int, int, int>> {
 protected:
  const int32_t sinks_ = std::get<0>(GetParam());
  const int64_t window_size_ = std::get<1>(GetParam());
  const int32_t chunk_ = std::get<2>(GetParam());
  static constexpr int32_t kBlockTokens = 4;
  KvBlocks blocks_{1000};
  KvWindow window_{sinks_, window_size_, kBlockTokens};
};

TEST_P(KvWindowTest, EveryRowOfAStepFindsAllItSees) {
  for (int step = 0; step < 60; ++step) {
    window_.Reserve(chunk_, blocks_);
    for (int64_t n = window_.position(); n < window_.position() + chunk_; ++n) {
      for (const int64_t seen : Seen(n, sinks_, window_size_)) {
        ASSERT_TRUE(Holds(window_, seen, kBlockTokens)) << "row " << n << " sees " << seen;
      }
    }
    window_.Advance(chunk_, blocks_);
  }
}

TEST_P(KvWindowTest, CountsEvictedTokensAsTheNaiveSetDoes) {
  for (int step = 0; step < 40; ++step) {
    window_.Reserve(chunk_, blocks_);
    window_.Advance(chunk_, blocks_);
    const int64_t n = window_.position();
    const auto seen = Seen(n, sinks_, window_size_);
    EXPECT_EQ(window_.evicted(), n + 1 - static_cast<int64_t>(seen.size()));
    EXPECT_EQ(window_.visible(), static_cast<int64_t>(seen.size()) - 1);
    if (n >= sinks_) {
      EXPECT_EQ(window_.first_recent(), *seen.lower_bound(sinks_));
    }
  }
}

TEST(MaxSessionBlocksTest, CountsWindowsThatNoMemoryHolds) {
  EXPECT_EQ(MaxSessionBlocks(4, int64_t{1} << 36, 16), (int64_t{1} << 32) + 2);
}

TEST_P(KvWindowTest, NeverHoldsMoreThanAdmissionCounted) {
  const int64_t most = MaxSessionBlocks(sinks_, window_size_, kBlockTokens);
  const int32_t slack = StepSlackBlocks(chunk_, 1, kBlockTokens);
  for (int step = 0; step < 60; ++step) {
    window_.Reserve(chunk_, blocks_);
    EXPECT_LE(blocks_.used(), most + (chunk_ > 1 ? slack : 0));
    window_.Advance(chunk_, blocks_);
    EXPECT_LE(blocks_.used(), most);
  }
}

TEST_P(KvWindowTest, AStepWithinItsReservationTakesNoMoreThanAdmissionCounted) {
  const int64_t most = MaxSessionBlocks(sinks_, window_size_, kBlockTokens);
  KvBlocks plain_blocks(1000);
  KvWindow plain(sinks_, window_size_, kBlockTokens);
  for (int step = 0; step < 60; ++step) {
    const int64_t rows = window_.RowsWithinReservation();
    ASSERT_GE(rows, 1);
    window_.Reserve(static_cast<int32_t>(rows), blocks_);
    EXPECT_EQ(blocks_.used(), most);
    window_.Advance(1, blocks_);
    window_.CancelReservation(blocks_);  // of the rows behind the first
    plain.Reserve(1, plain_blocks);
    plain.Advance(1, plain_blocks);
    EXPECT_EQ(blocks_.used(), plain_blocks.used());
  }
}

TEST_P(KvWindowTest, GivesEverythingBack) {
  for (int step = 0; step < 10; ++step) {
    window_.Reserve(chunk_, blocks_);
    window_.Advance(chunk_, blocks_);
  }
  window_.Clear(blocks_);
  EXPECT_EQ(blocks_.used(), 0);
}

TEST_P(KvWindowTest, ACancelledReservationLeavesNoTrace) {
  for (int step = 0; step < 30; ++step) {
    const int32_t used = blocks_.used();
    const auto recent = window_.recent_blocks();
    window_.Reserve(7, blocks_);
    window_.CancelReservation(blocks_);
    EXPECT_EQ(blocks_.used(), used);
    EXPECT_EQ(window_.recent_blocks(), recent);
    window_.Reserve(chunk_, blocks_);
    window_.Advance(chunk_, blocks_);
  }
}

INSTANTIATE_TEST_SUITE_P(SinksWindowChunk, KvWindowTest,
                         testing::Combine(testing::Values(0, 1, 4, 5, 8),
                                          testing::Values(1, 2, 3, 4, 5, 6, 17, 64),
                                          testing::Values(1, 2, 5, 16, 40)));

TEST(KvBlocksTest, ASharedBlockIsFreeAfterItsLastRelease) {
  KvBlocks blocks(2);
  const BlockId block = blocks.Take();
  blocks.Share(block);
  blocks.Release(block);
  EXPECT_EQ(blocks.available(), 1);
  blocks.Release(block);
  EXPECT_EQ(blocks.available(), 2);
}

TEST(KvBlocksDeathTest, TakingFromAnEmptyPoolOrReleasingTwiceEndsTheProcess) {
  KvBlocks blocks(1);
  const BlockId block = blocks.Take();
  EXPECT_DEATH(blocks.Take(), "broken invariant");
  blocks.Release(block);
  EXPECT_DEATH(blocks.Release(block), "broken invariant");
}

}  // namespace
}  // namespace sinkstream
