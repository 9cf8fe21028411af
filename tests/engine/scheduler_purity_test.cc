// What a session says depends on its own tokens alone.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/scheduler.h"
#include "tests/engine/conversation.h"

namespace sinkstream {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

class PurityTest : public testing::TestWithParam<std::tuple<int, int>> {
 protected:
  const int32_t sinks_ = std::get<0>(GetParam());
  const int64_t window_ = std::get<1>(GetParam());
};

TEST_P(PurityTest, ALongPromptAndALongReplyMatchTheDefinition) {
  Conversation talk;
  auto& alice = talk.OpenStream(With(sinks_, window_));
  alice.Feed(Numbers(90, 1), Greedy(80));
  talk.Run();
  EXPECT_EQ(alice.Read().tokens, ReplyByDefinition(Numbers(90, 1), sinks_, window_, 80));
  EXPECT_THAT(alice.Read().failures, IsEmpty());
}

TEST_P(PurityTest, NeighboursThatJoinAndLeaveChangeNothing) {
  Conversation talk;
  auto& alice = talk.OpenStream(With(sinks_, window_));
  auto& bob = talk.OpenStream(With(2, 9));
  bob.Feed(Numbers(33, 5), Greedy(20));
  talk.Run(2);
  alice.Feed(Numbers(90, 1), Greedy(80));
  talk.Run(10);
  auto& carol = talk.OpenStream(With(0, 3));
  carol.Feed(Numbers(50, 9), Greedy(10));
  talk.Run(12);
  bob.Vanish();
  talk.Run();
  EXPECT_EQ(alice.Read().tokens, ReplyByDefinition(Numbers(90, 1), sinks_, window_, 80));
  EXPECT_EQ(carol.Read().tokens, ReplyByDefinition(Numbers(50, 9), 0, 3, 10));
}

TEST_P(PurityTest, AnySplitOfATextIntoAppendsChangesNothing) {
  std::string text;
  for (const TokenId token : Numbers(60, 3)) text += static_cast<char>(token);
  text += " ab cd ef gh";
  std::vector<TokenId> ids(text.begin(), text.end());
  for (const size_t piece : {1, 3, 7, 50}) {
    Conversation talk;
    auto& alice = talk.OpenStream(With(sinks_, window_));
    for (size_t at = 0; at < text.size(); at += piece) {
      alice.Append(text.substr(at, piece));
      talk.Run();
    }
    alice.Feed({'?'}, Greedy(30));
    talk.Run();
    auto whole = ids;
    whole.push_back('?');
    EXPECT_EQ(alice.Read().tokens, ReplyByDefinition(whole, sinks_, window_, 30));
  }
}

TEST_P(PurityTest, ParkingAndReattachingChangeNothing) {
  Conversation talk;
  auto& alice = talk.OpenStream(With(sinks_, window_));
  const auto id = alice.id();
  alice.Feed(Numbers(40, 1), Greedy(1));
  talk.Run();
  const auto first = alice.Read().tokens;
  alice.Vanish();
  auto& bob = talk.OpenStream();
  bob.Feed(Numbers(70, 2), Greedy(5));
  talk.Run();
  OpenRequest again;
  again.id = id;
  auto& back = talk.OpenStream(again);
  EXPECT_TRUE(back.Read().opened->resumed);
  EXPECT_EQ(back.Read().opened->position, 40);
  back.Feed(Numbers(10, 4), Greedy(20));
  talk.Run();
  auto whole = Numbers(40, 1);
  whole.push_back(first[0]);
  const auto more = Numbers(10, 4);
  whole.insert(whole.end(), more.begin(), more.end());
  EXPECT_EQ(back.Read().tokens, ReplyByDefinition(whole, sinks_, window_, 20));
}

INSTANTIATE_TEST_SUITE_P(SinksWindow, PurityTest,
                         testing::Combine(testing::Values(0, 1, 4, 8),
                                          testing::Values(1, 5, 12, 64)));

}  // namespace
}  // namespace sinkstream
