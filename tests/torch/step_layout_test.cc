#include "engine/torch/ops/step_layout.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

namespace sinkstream {
namespace {

std::vector<int32_t> Iota(int32_t count) {
  std::vector<int32_t> blocks(static_cast<size_t>(count));
  std::iota(blocks.begin(), blocks.end(), 100);
  return blocks;
}

SequenceLine Line(int64_t start, int64_t rows, int64_t sinks, int64_t window) {
  SequenceLine line;
  line.start = start;
  line.rows = rows;
  line.sinks = sinks;
  line.window = window;
  return line;
}

TEST(StepLayout, PinnedAndRecentTokensLieInTheirOwnBlocks) {
  const std::vector<int32_t> blocks = Iota(4);
  SequenceLine line = Line(14, 8, 18, 40);
  line.recent_begin = 2;
  line.recent_count = 2;
  const auto layout = LayOut({line}, blocks, 200);
  ASSERT_TRUE(layout.ok()) << layout.status();
  EXPECT_EQ(layout->rows, 8);
  const auto slot = [&](int row) { return layout->slots[row]; };
  EXPECT_EQ(slot(0).block, 100);  // token 14: pinned
  EXPECT_EQ(slot(0).slot, 14);
  EXPECT_EQ(slot(3).block, 101);  // token 17: the last pinned one
  EXPECT_EQ(slot(3).slot, 1);
  EXPECT_EQ(slot(4).block, 102);  // token 18: the first recent one
  EXPECT_EQ(slot(4).slot, 0);
  EXPECT_EQ(slot(7).slot, 3);
}

TEST(StepLayout, ThePinnedAngleStopsGrowingOnceTokensAreEvicted) {
  const std::vector<int32_t> blocks = Iota(8);
  SequenceLine line = Line(0, 40, 4, 10);
  line.recent_begin = 1;
  line.recent_count = 7;
  line.rotary_offset = 1000;
  const auto layout = LayOut({line}, blocks, 200);
  ASSERT_TRUE(layout.ok()) << layout.status();
  const auto angles = [&](int row) { return layout->angles[row]; };
  EXPECT_EQ(angles(3).recent, 3);  // a pinned token meets pinned ones alone
  EXPECT_EQ(angles(4).recent, 1004);
  EXPECT_EQ(angles(13).pinned, 13);  // S + W - 1: the cache is full, nothing evicted
  EXPECT_EQ(angles(14).pinned, 13);
  EXPECT_EQ(angles(39).pinned, 13);
  EXPECT_EQ(angles(39).recent, 1039);
}

TEST(StepLayout, ATileNamesJustTheBlocksItsRowsSee) {
  const std::vector<int32_t> blocks = Iota(12);
  SequenceLine line = Line(104, 20, 4, 40);
  line.recent_begin = 1;
  line.recent_count = 8;
  line.first_recent_block = 3;  // recent tokens from 52 on
  const auto layout = LayOut({line}, blocks, 200);
  ASSERT_TRUE(layout.ok()) << layout.status();
  ASSERT_EQ(layout->tiles.size(), 3);
  const kernels::AttentionTile& first = layout->tiles[0];
  EXPECT_EQ(first.rows, 8);
  EXPECT_EQ(first.pinned_blocks, 1);
  EXPECT_EQ(*first.recent, 101);  // token 104 sees 65 on: recent token 61, in block 3
  EXPECT_EQ(first.recent_position, 4 + 3 * 16);
  EXPECT_EQ(first.recent_blocks, 4);  // to token 111: recent token 107, in block 6
  const kernels::AttentionTile& second = layout->tiles[1];
  EXPECT_EQ(second.row, 8);
  EXPECT_EQ(second.position, 112);
  EXPECT_EQ(*second.recent, 102);  // token 112 sees 73 on: recent token 69, in block 4
  EXPECT_EQ(layout->tiles[2].rows, 4);
}

TEST(StepLayout, SequencesFollowOneAnother) {
  const std::vector<int32_t> blocks = Iota(4);
  SequenceLine first = Line(0, 3, 0, 9);
  first.recent_count = 1;
  SequenceLine second = Line(5, 2, 0, 9);
  second.recent_begin = 3;
  second.recent_count = 1;
  const auto layout = LayOut({first, second}, blocks, 200);
  ASSERT_TRUE(layout.ok()) << layout.status();
  EXPECT_EQ(layout->rows, 5);
  EXPECT_EQ(layout->tiles[1].row, 3);
  EXPECT_EQ(layout->slots[3].block, 103);
  EXPECT_EQ(layout->slots[3].slot, 5);
}

}  // namespace
}  // namespace sinkstream
