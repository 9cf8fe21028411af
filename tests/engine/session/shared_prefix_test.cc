// A system prompt that several sessions of a principal share: one reads it, the others stand behind
// it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "tests/engine/conversation.h"

namespace sinkstream {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

OpenRequest Prompted(const std::string& principal, const std::string& prompt) {
  OpenRequest request;
  request.principal = principal;
  request.system_prompt = prompt;
  return request;
}

TEST(SharedPrefixTest, TheSecondSessionStandsBehindThePromptAtOnceAndSaysTheSame) {
  Conversation talk;
  auto& first = talk.OpenStream(Prompted("alice", "a rather long prompt"));
  first.Say("hi", Greedy(30));
  talk.Run();
  auto& second = talk.OpenStream(Prompted("alice", "a rather long prompt"));
  EXPECT_EQ(second.Read().opened->position, 25);  // [B][S]s:a rather long prompt[E]
  second.Say("hi", Greedy(30));
  talk.Run();
  EXPECT_EQ(second.Read().tokens, first.Read().tokens);
  EXPECT_EQ(second.Read().turns[0].usage.prompt_tokens,
            first.Read().turns[0].usage.prompt_tokens - 25);
  EXPECT_EQ(second.Read().opened->kv_bytes, first.Read().opened->kv_bytes - 7 * 400);
}

TEST(SharedPrefixTest, PenaltiesLookAtASharedPromptToo) {
  Conversation talk;
  auto repelled = Greedy(20);
  repelled.presence_penalty = 10;  // what the fake model wants is 10 above all else
  std::vector<std::vector<TokenId>> replies;
  for (int i = 0; i < 2; ++i) {
    auto& stream = talk.OpenStream(Prompted("alice", "the quick brown fox jumps over it"));
    stream.Say("hi", repelled);
    talk.Run();
    replies.push_back(stream.Read().tokens);
  }
  EXPECT_EQ(replies[0], replies[1]);
}

TEST(SharedPrefixTest, ItsBlocksStayUntilTheLastSessionHasGoneAndNoneIsLost) {
  Conversation talk;
  auto& first = talk.OpenStream(Prompted("alice", "a rather long prompt"));
  first.Say("hi", Greedy(1));
  talk.Run();
  auto& second = talk.OpenStream(Prompted("alice", "a rather long prompt"));
  auto& third = talk.OpenStream(Prompted("alice", "a rather long prompt"));
  second.Say("hi", Greedy(30));
  talk.Run();
  first.Close();
  third.Say("hi", Greedy(30));
  talk.Run();
  EXPECT_EQ(third.Read().tokens, second.Read().tokens);
  EXPECT_THAT(third.Read().failures, IsEmpty());
  second.Close();
  third.Close();
  EXPECT_EQ(talk.scheduler().Stats().blocks_used, 0);
  EXPECT_EQ(talk.scheduler().Stats().kv_bytes_reserved, 0);
}

TEST(SharedPrefixTest, OfSessionsThatComeAtOnceOneReadsItAndTheOthersWait) {
  Conversation talk;
  std::vector<Stream*> streams;
  for (int i = 0; i < 4; ++i) {
    streams.push_back(&talk.OpenStream(Prompted("alice", "a rather long prompt")));
  }
  const auto reserved = talk.scheduler().Stats().kv_bytes_reserved;
  for (auto* const stream : streams) stream->Say("hi", Greedy(30));
  talk.Run();
  const auto own = streams[0]->Read().turns[0].usage.prompt_tokens - 25;
  int64_t read = 0;
  for (const auto& step : talk.observer().steps) read += step.prefill_rows;
  EXPECT_EQ(read, 25 + 4 * own);
  EXPECT_EQ(talk.observer().joined_tokens, 3 * 25);
  for (auto* const stream : streams) {
    EXPECT_EQ(stream->Read().tokens, streams[0]->Read().tokens);
    if (stream == streams[0]) continue;
    EXPECT_EQ(stream->Read().turns[0].usage.prompt_tokens, own);
    EXPECT_EQ(stream->Read().turns[0].usage.cached_tokens, 25);
  }
  EXPECT_EQ(talk.scheduler().Stats().kv_bytes_reserved, reserved - 3 * 7 * 400);
  for (auto* const stream : streams) stream->Close();
  EXPECT_EQ(talk.scheduler().Stats().blocks_used, 0);
  EXPECT_EQ(talk.scheduler().Stats().kv_bytes_reserved, 0);
}

TEST(SharedPrefixTest, ASessionThatOpenedBeforeItWasReadNeedNotReadIt) {
  Conversation talk;
  auto& first = talk.OpenStream(Prompted("alice", "a rather long prompt"));
  auto& second = talk.OpenStream(Prompted("alice", "a rather long prompt"));
  first.Say("hi", Greedy(30));
  talk.Run();
  second.Say("hi", Greedy(30));
  talk.Run();
  EXPECT_EQ(talk.observer().joined_tokens, 25);
  EXPECT_EQ(second.Read().tokens, first.Read().tokens);
}

TEST(SharedPrefixTest, IsReadByTheNextIfWhoReadsItIsCancelledOrCloses) {
  for (const bool closes : {false, true}) {
    Conversation talk;
    auto& first = talk.OpenStream(Prompted("alice", "a rather long prompt"));
    auto& second = talk.OpenStream(Prompted("alice", "a rather long prompt"));
    auto& third = talk.OpenStream(Prompted("alice", "a rather long prompt"));
    for (auto* const stream : {&first, &second, &third}) stream->Say("hi", Greedy(30));
    talk.Run(1);  // 16 of its 25 tokens
    closes ? first.Close() : first.Cancel();
    talk.Run();
    EXPECT_THAT(second.Read().turns, SizeIs(1));
    EXPECT_EQ(third.Read().tokens, second.Read().tokens);
    EXPECT_EQ(talk.observer().joined_tokens, 25) << "the third stood behind the second's";
  }
}

TEST(SharedPrefixTest, NobodyWaitsForASessionWhoseReaderIsBehind) {
  Conversation talk;
  auto& first = talk.OpenStream(Prompted("alice", "a rather long prompt"), /*capacity=*/3);
  auto& second = talk.OpenStream(Prompted("alice", "a rather long prompt"));
  first.Say("hi", Greedy(30));
  talk.Run(1);
  first.Append("x");  // refused behind a turn, which is one more event that nobody reads
  second.Say("hi", Greedy(30));
  talk.Run();
  EXPECT_THAT(second.Read().turns, SizeIs(1));
  EXPECT_EQ(talk.observer().joined_tokens, 0);
  while (first.Read().turns.empty()) ASSERT_GT(talk.Run(), 0);
  EXPECT_EQ(first.Read().tokens, second.Read().tokens);
}

TEST(SharedPrefixTest, WhatAnAppendHoldsBackLeavesNothingButIt) {
  Conversation talk;
  auto& first = talk.OpenStream(Prompted("alice", "a rather long prompt"));
  auto& second = talk.OpenStream(Prompted("alice", "a rather long prompt"));
  for (auto* const stream : {&first, &second}) stream->Append("hel");  // held: a word may go on
  talk.Run();
  for (auto* const stream : {&first, &second}) stream->Append("lo ");
  talk.Run();
  for (auto* const stream : {&first, &second}) EXPECT_THAT(stream->Read().appends, SizeIs(2));
}

// Text position and log-probability of each token.
std::vector<std::pair<int64_t, float>> Scored(const std::vector<Scores>& events) {
  std::vector<std::pair<int64_t, float>> scored;
  for (const Scores& event : events) {
    int64_t position = event.position;
    for (const auto& of : event.logprobs) scored.emplace_back(position++, of.chosen.logprob);
  }
  return scored;
}

TEST(SharedPrefixTest, ScoresBehindItAreTheSameWhoeverHasReadIt) {
  Conversation talk;
  auto& first = talk.OpenStream(Prompted("alice", "a rather long prompt"));
  auto& second = talk.OpenStream(Prompted("alice", "a rather long prompt"));
  for (auto* const stream : {&first, &second}) stream->Score(Numbers(9, 1));
  talk.Run();
  EXPECT_EQ(talk.observer().joined_tokens, 25);
  EXPECT_EQ(Scored(second.Read().scores), Scored(first.Read().scores));
  EXPECT_THAT(Scored(first.Read().scores), SizeIs(8));  // the first behind a prompt has none
}

TEST(SharedPrefixTest, SessionsThatReadItAtTheSameTimeEndUpWithOneCopy) {
  Conversation talk;
  auto& first = talk.OpenStream(Prompted("alice", "a rather long prompt"));
  auto& second = talk.OpenStream(Prompted("alice", "a rather long prompt"));
  const auto reserved = talk.scheduler().Stats().kv_bytes_reserved;
  first.Say("hi", Greedy(10));
  second.Say("hi", Greedy(10));
  talk.Run();
  EXPECT_EQ(first.Read().tokens, second.Read().tokens);
  EXPECT_EQ(talk.scheduler().Stats().kv_bytes_reserved, reserved - 7 * 400);
  first.Close();
  second.Close();
  EXPECT_EQ(talk.scheduler().Stats().blocks_used, 0);
  EXPECT_EQ(talk.scheduler().Stats().kv_bytes_reserved, 0);
}

TEST(SharedPrefixTest, IsNeverSharedBetweenPrincipalsNorBeforeItHasBeenRead) {
  Conversation talk;
  auto& first = talk.OpenStream(Prompted("alice", "a rather long prompt"));
  EXPECT_EQ(talk.OpenStream(Prompted("alice", "a rather long prompt")).Read().opened->position, 0);
  first.Say("hi", Greedy(1));
  talk.Run();
  EXPECT_EQ(talk.OpenStream(Prompted("mallory", "a rather long prompt")).Read().opened->position,
            0);
  EXPECT_EQ(talk.OpenStream(Prompted("alice", "a rather long prompT")).Read().opened->position, 0);
}

}  // namespace
}  // namespace sinkstream
