#include "engine/speculation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace sinkstream {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// Guesses at what follows `text`, a token a letter.
std::string GuessAfter(const std::string& text, int64_t most) {
  const std::vector<TokenId> tokens(text.begin(), text.end());
  std::vector<TokenId> guesses = {7, 7};  // replaced
  GuessTokens(absl::MakeConstSpan(tokens).first(tokens.size() - 1), tokens.back(), most, guesses);
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

TEST(GuessesEachTest, FewSequencesShareTheRowsThatCostLittle) {
  std::vector<int32_t> each;
  for (int decodes = 0; decodes <= 6; ++decodes) each.push_back(GuessesEach(decodes, 0, 4));
  EXPECT_THAT(each, ElementsAre(0, 4, 3, 1, 1, 0, 0));
}

TEST(GuessesEachTest, NoneBesideAPromptOrWhereTheyAreOff) {
  EXPECT_EQ(GuessesEach(1, 1, 4), 0);
  EXPECT_EQ(GuessesEach(1, 0, 0), 0);
}

TEST(GuessesEachTest, WhoAsksForMoreGetsThemAlone) {
  EXPECT_EQ(GuessesEach(1, 0, 20), 20);
  EXPECT_EQ(GuessesEach(2, 0, 20), 9);
}

TEST(GuessRecordTest, GuessesDoubleWhileAllAreRight) {
  GuessRecord record;
  for (const int32_t most : {1, 2, 4, 8}) {
    EXPECT_EQ(record.most, most);
    record = AfterStep(record, record.most, record.most);
  }
  // Fewer could be made: that they were right takes nothing back.
  EXPECT_EQ(AfterStep(record, 3, 3).most, 16);
  for (int i = 0; i < 9; ++i) record = AfterStep(record, record.most, record.most);
  EXPECT_EQ(record.most, kMaxSpeculativeTokens);
}

TEST(GuessRecordTest, WhereSomeWereRightAsManyAreMadeNext) {
  EXPECT_EQ(AfterStep({.most = 8}, 8, 3), (GuessRecord{.most = 3}));
}

TEST(GuessRecordTest, WhereNoneWasRightItRestsLongerEachTime) {
  GuessRecord record{.most = 8};
  std::vector<int32_t> rests;
  for (int failure = 0; failure < 8; ++failure) {
    record = AfterStep(record, record.most, 0);
    EXPECT_EQ(record.most, 1);
    rests.push_back(record.rest);
    while (record.rest > 0) record = AfterStep(record, 0, 0);
  }
  EXPECT_THAT(rests, ElementsAre(2, 4, 8, 16, 32, 64, 64, 64));
  record = AfterStep(AfterStep(record, 1, 1), 1, 0);
  EXPECT_EQ(record.rest, 2);
}

}  // namespace
}  // namespace sinkstream
