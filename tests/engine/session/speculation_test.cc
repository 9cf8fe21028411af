#include "engine/session/speculation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

namespace sinkstream {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::IsEmpty;

// Guesses at what follows `text`, a token a letter.
std::string GuessAfter(const std::string& text, int32_t most) {
  const std::vector<TokenId> tokens(text.begin(), text.end());
  std::vector<TokenId> guesses = {7, 7};  // replaced
  const auto earlier = absl::MakeConstSpan(tokens).first(tokens.size() - 1);
  const Continuation from = FindContinuation(earlier, tokens.back());
  GuessTokens(earlier, tokens.back(), from, from.run > 0 ? most : 0, guesses);
  return {guesses.begin(), guesses.end()};
}

TEST(GuessTokensTest, WhatFollowedTheSameTokensBefore) {
  EXPECT_EQ(GuessAfter("the cat sat. the c", 5), "at sa");
}

TEST(GuessTokensTest, TheLongestRunBeforeTheLatest) {
  EXPECT_EQ(GuessAfter("xabc1 abc2 xabc", 1), "1");
}

TEST(GuessTokensTest, OfEquallyLongRunsTheLatest) {
  EXPECT_EQ(GuessAfter("xabc1 yabc2 zabc", 1), "2");
  EXPECT_EQ(GuessAfter("123456789a 123456789b x123456789", 1), "b");  // nor longer than eight
}

TEST(GuessTokensTest, ARunThatReachesToTheEndRepeats) {
  EXPECT_EQ(GuessAfter("abab", 5), "ababa");
  EXPECT_EQ(GuessAfter("xxx", 4), "xxxx");
  EXPECT_EQ(GuessAfter("hm abcabc", 7), "abcabca");
}

TEST(GuessTokensTest, NothingUnlessTwoTokensTogetherRecur) {
  EXPECT_EQ(GuessAfter("a", 4), "");
  EXPECT_EQ(GuessAfter("aa", 4), "");
  EXPECT_EQ(GuessAfter("abcdefga", 4), "");
  EXPECT_EQ(GuessAfter("ab.ab", 0), "");
}

int32_t RunOf(const std::string& text) {
  const std::vector<TokenId> tokens(text.begin(), text.end());
  return FindContinuation(absl::MakeConstSpan(tokens).first(tokens.size() - 1), tokens.back()).run;
}

TEST(FindContinuationTest, TellsHowManyTokensRecur) {
  EXPECT_EQ(RunOf("abc xbc"), 2);
  EXPECT_EQ(RunOf("the cat sat. the c"), 5);
  EXPECT_EQ(RunOf("123456789 123456789"), 8);  // no more are counted
  EXPECT_EQ(RunOf("abcdefga"), 0);
}

std::vector<int32_t> Shares(const std::vector<float>& chances, int32_t most, size_t turn = 0) {
  std::vector<int32_t> guesses = {7, 7};  // replaced
  ShareGuesses(chances, most, turn, guesses);
  return guesses;
}

// Guesses in all, of so many sequences with the same chance.
int32_t InAll(size_t sequences, float chance, int32_t most) {
  const auto shares = Shares(std::vector<float>(sequences, chance), most);
  return std::accumulate(shares.begin(), shares.end(), 0);
}

TEST(ShareGuessesTest, TheMoreSequencesTheSurerAGuessMustBe) {
  std::vector<int32_t> unsure, sure;
  for (const size_t sequences : {1, 4, 8, 16, 40}) {
    unsure.push_back(InAll(sequences, 0.5, 4));
    sure.push_back(InAll(sequences, 0.95, 4));
  }
  EXPECT_THAT(unsure, ElementsAre(3, 4, 8, 0, 0));
  EXPECT_THAT(sure, ElementsAre(4, 16, 20, 28, 8));
}

TEST(ShareGuessesTest, NoMoreThanTheStepTakesWithoutThem) {
  EXPECT_EQ(InAll(1, kSurest, 9), 9);
  EXPECT_EQ(InAll(1, kSurest, 32), 13);
  EXPECT_EQ(InAll(2, kSurest, 32), 14);
}

TEST(ShareGuessesTest, TheSurestComeFirstWhereNotAllFit) {
  std::vector<float> chances(30, 0.9f);
  std::fill(chances.begin() + 20, chances.begin() + 28, 0.97f);
  const auto shares = Shares(chances, 1);
  EXPECT_EQ(std::accumulate(shares.begin(), shares.end(), 0), 18);
  EXPECT_EQ(std::accumulate(shares.begin() + 20, shares.begin() + 28, 0), 8);
}

TEST(ShareGuessesTest, TheEquallySureTakeTurns) {
  const std::vector<float> chances(40, kSurest);
  std::vector<int32_t> sums(40);
  for (size_t turn = 0; turn < 40; ++turn) {
    const auto shares = Shares(chances, 1, turn);
    for (size_t i = 0; i < 40; ++i) sums[i] += shares[i];
  }
  EXPECT_THAT(sums, Each(8));
}

TEST(ShareGuessesTest, NoneOnceTheStepIsFull) {
  EXPECT_EQ(InAll(kGuessedStepRows, kSurest, 4), 0);
  EXPECT_EQ(InAll(1000, kSurest, 4), 0);
}

TEST(ShareGuessesTest, NoneWhereTheyAreOffOrNothingRecurs) {
  EXPECT_EQ(InAll(1, kSurest, 0), 0);
  EXPECT_EQ(InAll(1, ChanceBehind({}, 0), 4), 0);
  EXPECT_THAT(Shares({}, 4), IsEmpty());
}

TEST(GuessRecordTest, LongRunsAreTrustedMoreThanShortOnes) {
  const GuessRecord record;
  for (int32_t run = 1; run < 8; ++run) {
    EXPECT_LE(ChanceBehind(record, run), ChanceBehind(record, run + 1)) << run;
  }
  EXPECT_LT(ChanceBehind(record, 2), ChanceBehind(record, 8));
}

TEST(GuessRecordTest, AFailureIsHeldAgainstRunsOfItsKindAlone) {
  const GuessRecord record = AfterStep({.run = 8}, 4, 1);
  EXPECT_LT(ChanceBehind(record, 7), ChanceBehind({}, 7));
  EXPECT_EQ(ChanceBehind(record, 6), ChanceBehind({}, 6));
  EXPECT_EQ(ChanceBehind(record, 2), ChanceBehind({}, 2));
}

TEST(GuessRecordTest, SuccessRaisesTheChanceUpToTheSurest) {
  GuessRecord record{.run = 2};
  for (int step = 0; step < 100; ++step) {
    const GuessRecord next = AfterStep(record, 4, 4);
    EXPECT_GE(ChanceBehind(next, 2), ChanceBehind(record, 2));
    record = next;
  }
  EXPECT_EQ(ChanceBehind(record, 2), kSurest);
}

TEST(GuessRecordTest, WhoFailedIsTriedAgainAfterAWhile) {
  GuessRecord record{.run = 2};
  for (int step = 0; step < 100; ++step) record = AfterStep(record, 1, 0);
  EXPECT_EQ(InAll(1, ChanceBehind(record, 2), 4), 0);
  int rest = 0;
  for (; InAll(1, ChanceBehind(record, 2), 4) == 0; ++rest) record = AfterStep(record, 0, 0);
  EXPECT_GT(rest, 5);
  EXPECT_LT(rest, 50);
}

}  // namespace
}  // namespace sinkstream
