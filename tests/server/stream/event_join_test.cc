#include "server/stream/event_join.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>

namespace sinkstream {
namespace {

Event Piece(uint64_t request, const std::string& text, TokenId token) {
  Delta delta{.request_id = request, .text = text, .tokens = {token}, .logprobs = {}};
  delta.logprobs.push_back({{token, -1.0f}, {}});
  return delta;
}

const Delta& DeltaAt(const std::vector<Event>& events, size_t i) {
  return std::get<Delta>(events.at(i));
}

TEST(JoinDeltas, JoinsPiecesOfOneReplyThatFollowEachOther) {
  const auto joined = JoinDeltas({Piece(1, "a", 10), Piece(1, "", 11), Piece(1, "b", 12)});
  ASSERT_EQ(joined.size(), 1u);
  EXPECT_EQ(DeltaAt(joined, 0).text, "ab");
  EXPECT_THAT(DeltaAt(joined, 0).tokens, testing::ElementsAre(10, 11, 12));
  ASSERT_EQ(DeltaAt(joined, 0).logprobs.size(), 3u);
  EXPECT_EQ(DeltaAt(joined, 0).logprobs[2].chosen.token, 12);
}

TEST(JoinDeltas, KeepsRepliesApart) {
  const auto joined = JoinDeltas({Piece(1, "a", 10), Piece(2, "b", 11)});
  ASSERT_EQ(joined.size(), 2u);
  EXPECT_EQ(DeltaAt(joined, 0).request_id, 1u);
  EXPECT_EQ(DeltaAt(joined, 1).request_id, 2u);
}

TEST(JoinDeltas, JoinsNothingAcrossAnotherEvent) {
  const auto joined = JoinDeltas({Piece(1, "a", 10), WindowMoved{}, Piece(1, "b", 11)});
  ASSERT_EQ(joined.size(), 3u);
  EXPECT_EQ(DeltaAt(joined, 0).text, "a");
  EXPECT_TRUE(std::holds_alternative<WindowMoved>(joined[1]));
  EXPECT_EQ(DeltaAt(joined, 2).text, "b");
}

TEST(JoinDeltas, OfNothingIsNothing) { EXPECT_TRUE(JoinDeltas({}).empty()); }

}  // namespace
}  // namespace sinkstream
