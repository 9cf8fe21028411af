// The memory that told distributions take until they are read.
#include "engine/sampling/distribution_budget.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "tests/engine/told_scores.h"

namespace sinkstream {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

// Three distributions of its vocabulary fill an outbox.
constexpr int32_t kBigVocabulary = 300'000;

TEST(DistributionBudget, AStepTellsNoMoreDistributionsThanFillAnOutbox) {
  Conversation talk({.vocab_size = kBigVocabulary}, WideOptions());
  auto& alice = talk.OpenStream();
  alice.Score(Numbers(8, 1), {.distributions = true});
  std::vector<size_t> told;
  while (talk.Run(1) > 0) told.push_back(Scored(alice).tokens.size());
  EXPECT_THAT(told, ElementsAre(3, 6, 7));
}

class DistributionBudgetTest : public testing::Test {
 protected:
  static constexpr int64_t kRows = 10;

  static EngineOptions Options() {
    EngineOptions options = SmallOptions();
    options.limits.distribution_bytes =
        kRows * kFakeVocabSize * static_cast<int64_t>(sizeof(float));
    return options;
  }
  // A stream whose scored text takes all of the budget, unread.
  Stream& Greediest() {
    Stream& stream = talk_.OpenStream();
    stream.Score(Numbers(30, 1), {.distributions = true});
    EXPECT_GT(talk_.Run(), 0);
    return stream;
  }

  Conversation talk_{{}, Options()};
};

TEST_F(DistributionBudgetTest, WhereItIsSpentOnlyThosePauseThatAskForMore) {
  Greediest();
  auto& other = talk_.OpenStream();
  auto& plain = talk_.OpenStream();
  auto& chat = talk_.OpenStream();
  other.Score(Numbers(30, 2), {.distributions = true});
  plain.Score(Numbers(30, 3));
  chat.Feed(Numbers(20, 4), Greedy(5));
  talk_.Run();
  EXPECT_THAT(Scored(other).tokens, IsEmpty());
  auto text = Numbers(30, 3);
  text.erase(text.begin());
  EXPECT_EQ(Scored(plain).tokens, text);
  EXPECT_EQ(chat.Read().tokens, ReplyByDefinition(Numbers(20, 4), 4, 12, 5));
}

// No step is made for it, and nothing is stuck.
TEST_F(DistributionBudgetTest, WhoWaitsForItCountsAsPaused) {
  auto& greedy = Greediest();
  auto& other = talk_.OpenStream();
  other.Score(Numbers(30, 2), {.distributions = true});
  EXPECT_EQ(talk_.Run(), 0);
  EXPECT_EQ(talk_.scheduler().Stats().running_requests, 2);
  EXPECT_EQ(talk_.scheduler().Stats().paused_requests, 2);
  greedy.Vanish();
  EXPECT_GT(talk_.Run(1), 0);
  EXPECT_EQ(talk_.scheduler().Stats().paused_requests, 0);
}

TEST_F(DistributionBudgetTest, WhoWaitsForItKeepsNobodyFromGuessing) {
  EngineOptions options = Options();
  options.limits.speculative_tokens = 4;
  Conversation talk({.next = Rambling}, options);
  talk.OpenStream().Score(Numbers(30, 1), {.distributions = true});
  talk.Run();
  talk.OpenStream().Feed({'a', 'b', 'a', 'b'}, Greedy(100));
  talk.Run();
  int64_t guessed = 0;
  for (const auto& step : talk.observer().steps) guessed += step.guessed_tokens;
  EXPECT_GT(guessed, 0);
}

TEST_F(DistributionBudgetTest, ItGoesOnWhenTheReaderReads) {
  auto& alice = Greediest();
  EXPECT_EQ(talk_.Run(), 0);
  EXPECT_EQ(Scored(alice).tokens.size(), kRows);
  while (talk_.Run() > 0) alice.Read();
  EXPECT_THAT(alice.Read().appends, SizeIs(1));
}

TEST_F(DistributionBudgetTest, AStreamThatGoesGivesItsPartBack) {
  auto& other = talk_.OpenStream();
  for (int i = 0; i < 3; ++i) Greediest().Vanish();
  other.Score(Numbers(kRows + 1, 2), {.distributions = true});
  talk_.Run();
  EXPECT_THAT(other.Read().appends, SizeIs(1));
}

TEST(DistributionBudget, TellsOnceWhereThereIsRoomAgainEvenWhenItHasGone) {
  int rooms = 0;
  auto budget = std::make_unique<DistributionBudget>(100, 30, [&] { ++rooms; });
  EXPECT_EQ(budget->RowsLeft(), 3);
  auto two = budget->Take(2);
  auto copy = two;
  two = nullptr;
  EXPECT_EQ(budget->RowsLeft(), 1) << "the copy has it";
  auto one = budget->Take(1);
  copy = nullptr;
  EXPECT_EQ(budget->RowsLeft(), 2);
  EXPECT_EQ(rooms, 1);
  auto rest = budget->Take(2);
  budget.reset();
  one = nullptr;
  EXPECT_EQ(rooms, 2);
}

}  // namespace
}  // namespace sinkstream
