#include "engine/session/scoring.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <ostream>

#include "engine/errors.h"
#include "tests/engine/told_scores.h"

namespace sinkstream {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::ElementsAreArray;
using testing::IsEmpty;
using testing::Le;
using testing::SizeIs;

// What the definition gives for text[1..]: no cache, no chunks; the fake model's logits are 10 for
// the hash of what is visible, else minus the id modulo 7.
std::vector<float> LogprobsByDefinition(const std::vector<TokenId>& text, int32_t sinks,
                                        int64_t window) {
  std::vector<float> logprobs;
  for (size_t at = 1; at < text.size(); ++at) {
    const std::vector<TokenId> before(text.begin(), text.begin() + static_cast<int64_t>(at));
    const TokenId next = ReplyByDefinition(before, sinks, window, 1)[0];
    const auto logit = [next](TokenId token) { return token == next ? 10.0 : -(token % 7); };
    double sum = 0;
    for (TokenId token = 0; token < kFakeVocabSize; ++token) sum += std::exp(logit(token));
    logprobs.push_back(static_cast<float>(logit(text[at]) - std::log(sum)));
  }
  return logprobs;
}

// ---- what is told ----

TEST(ScoringTest, EveryTokenButTheFirstIsScoredAsTheDefinitionSays) {
  const auto text = Numbers(70, 1);
  const Told told = WholeScored(text);
  EXPECT_EQ(told.tokens, Piece(text, 1, 70));
  EXPECT_EQ(told.positions, Positions(1, 69));
  EXPECT_THAT(told.logprobs,
              testing::Pointwise(testing::FloatNear(1e-6f), LogprobsByDefinition(text, 4, 12)));
}

TEST(ScoringTest, ScoresComeBeforeTheEndAndCarryItsId) {
  Conversation talk;
  auto& alice = talk.OpenStream();
  alice.Score(Numbers(30, 1), {}, 7);
  talk.Run();
  const Heard& heard = alice.Read();
  for (const Scores& scores : heard.scores) EXPECT_EQ(scores.request_id, 7);
  ASSERT_THAT(heard.appends, SizeIs(1));
  EXPECT_EQ(heard.appends[0].request_id, 7);
  EXPECT_EQ(heard.appends[0].usage.prompt_tokens, 29);  // the last is left to the next request
}

TEST(ScoringTest, SkippedTokensAreReadAndNotScored) {
  const auto text = Numbers(60, 1);
  const Told whole = WholeScored(text);
  const Told told = WholeScored(text, {.skip_tokens = 50});
  EXPECT_EQ(told.positions, Positions(50, 10));
  EXPECT_EQ(told, From(50, whole));
  EXPECT_THAT(WholeScored(text, {.skip_tokens = 60}).tokens, IsEmpty());
  constexpr int32_t kAll = std::numeric_limits<int32_t>::max();
  EXPECT_THAT(WholeScored(text, {.skip_tokens = kAll}).tokens, IsEmpty());
}

TEST(ScoringTest, TheLikeliestComeInOrderAndTheLowerIdFirst) {
  Conversation talk;
  auto& alice = talk.OpenStream();
  alice.Score({'a', 'b'}, {.top_logprobs = 3});
  talk.Run();
  const auto& top = alice.Read().scores.at(0).logprobs.at(0).top;
  ASSERT_THAT(top, SizeIs(3));
  EXPECT_EQ(top[0].token, HashOfVisible({'a'}));
  EXPECT_EQ(top[1].token, 0);  // of many whose logit is 0
  EXPECT_EQ(top[2].token, 7);
}

TEST(ScoringTest, ADistributionIsThatOfTheScoredTokenAndSumsToOne) {
  Conversation talk;
  auto& alice = talk.OpenStream();
  alice.Score(Numbers(20, 1), {.skip_tokens = 5, .distributions = true});
  talk.Run();
  size_t rows = 0;
  for (const Scores& scores : alice.Read().scores) {
    ASSERT_EQ(scores.distributions.size(), scores.logprobs.size());
    for (size_t i = 0; i < scores.logprobs.size(); ++i, ++rows) {
      const auto& row = scores.distributions[i];
      ASSERT_THAT(row, SizeIs(kFakeVocabSize));
      double sum = 0;
      for (const float logprob : row) sum += std::exp(logprob);
      EXPECT_NEAR(sum, 1, 1e-6);
      EXPECT_EQ(row[scores.logprobs[i].chosen.token], scores.logprobs[i].chosen.logprob);
    }
  }
  EXPECT_EQ(rows, 15);
}

TEST(ScoringTest, DistributionsOfABigVocabularyComeInSeveralEvents) {
  const std::vector<float> logits(5 * 100'000, 0.0f);
  const auto events = ScoreTokens({logits, {}}, {1, 2, 3, 4, 5}, 70, {.distributions = true});
  ASSERT_TRUE(events.ok());
  ASSERT_THAT(*events, SizeIs(3));  // of 400,000 bytes a token
  EXPECT_EQ((*events)[0].position, 70);
  EXPECT_EQ((*events)[1].position, 72);
  EXPECT_THAT((*events)[2].distributions, SizeIs(1));
  EXPECT_FLOAT_EQ((*events)[2].logprobs[0].chosen.logprob, -std::log(100'000.0f));
}

// ---- nothing but the text counts ----

class SplitTest : public testing::TestWithParam<size_t> {};

TEST_P(SplitTest, PiecesAreScoredAsTheWhole) {
  const auto text = Numbers(70, 1);
  Conversation talk;
  auto& alice = talk.OpenStream();
  for (size_t at = 0; at < text.size(); at += GetParam()) {
    alice.Score(Piece(text, at, std::min(at + GetParam(), text.size())));
    talk.Run();
  }
  EXPECT_EQ(Scored(alice), WholeScored(text));
}

TEST_P(SplitTest, SoArePiecesOfTextWhoseEndIsHeld) {
  const std::string text = "How pleasant, said she. And so it was, of 12 o'clock; nobody knew why ";
  const std::vector<TokenId> ids(text.begin(), text.end());
  Conversation talk;
  auto& alice = talk.OpenStream();
  for (size_t at = 0; at < text.size(); at += GetParam()) {
    alice.Append(text.substr(at, GetParam()), 1, ScoringParams{});
    talk.Run();
  }
  alice.Score({'.'});
  talk.Run();
  auto whole = ids;
  whole.push_back('.');
  EXPECT_EQ(Scored(alice), WholeScored(whole));
}

TEST_P(SplitTest, ChunksAndNeighboursChangeNoBit) {
  const auto text = Numbers(70, 1);
  EngineOptions options = SmallOptions();
  options.limits.step_tokens = static_cast<int32_t>(8 + GetParam());
  options.limits.score_rows = static_cast<int32_t>(GetParam());
  Conversation talk({}, options);
  auto& bob = talk.OpenStream();
  bob.Feed(Numbers(40, 3), Greedy(60));
  talk.Run(3);
  auto& alice = talk.OpenStream();
  auto& carol = talk.OpenStream();
  alice.Score(text);
  carol.Score(Numbers(50, 5));
  talk.Run();
  EXPECT_EQ(Scored(alice), WholeScored(text));
  EXPECT_EQ(Scored(carol), WholeScored(Numbers(50, 5)));
  EXPECT_EQ(bob.Read().tokens, ReplyByDefinition(Numbers(40, 3), 4, 12, 60));
}

INSTANTIATE_TEST_SUITE_P(Sizes, SplitTest, testing::Values(1, 3, 16, 50));

TEST(ScoringTest, AReplyAfterScoresSeesAllOfTheText) {
  Conversation talk;
  auto& alice = talk.OpenStream();
  alice.Score(Numbers(30, 1));
  talk.Run();
  alice.Feed({'?'}, Greedy(20));
  talk.Run();
  auto text = Numbers(30, 1);
  text.push_back('?');
  EXPECT_EQ(alice.Read().tokens, ReplyByDefinition(text, 4, 12, 20));
}

TEST(ScoringTest, WhatFollowsAReplyIsScoredFromItsFirstToken) {
  Conversation talk;
  auto& alice = talk.OpenStream();
  alice.Feed(Numbers(20, 1), Greedy(5));
  talk.Run();
  alice.Score(Numbers(10, 3));
  talk.Run();
  auto text = Numbers(20, 1);
  for (const TokenId token : alice.Read().tokens) text.push_back(token);
  for (const TokenId token : Numbers(10, 3)) text.push_back(token);
  const auto expected = LogprobsByDefinition(text, 4, 12);
  const Told told = Scored(alice);
  EXPECT_EQ(told.positions, Positions(25, 10));
  EXPECT_THAT(told.logprobs,
              testing::Pointwise(testing::FloatNear(1e-6f),
                                 std::vector<float>(expected.end() - 10, expected.end())));
}

TEST(ScoringTest, AfterAnAppendWithoutScoresTheFirstTokenHasNone) {
  Conversation talk;
  auto& alice = talk.OpenStream();
  RequestCommand plain{1, 1, false, {}, {}};
  plain.input.tokens = Numbers(10, 1);
  talk.scheduler().Handle(std::move(plain));
  alice.Score(Numbers(5, 2));
  talk.Run();
  EXPECT_EQ(Scored(alice).positions, Positions(11, 4));
}

TEST(ScoringTest, AContinuationIsScoredWholeBehindAContextThatSkipsAll) {
  const auto text = Numbers(40, 1);
  Conversation talk;
  auto& alice = talk.OpenStream();
  alice.Score(Piece(text, 0, 30), {.skip_tokens = 1000});
  alice.Score(Piece(text, 30, 40));
  talk.Run();
  EXPECT_EQ(Scored(alice).positions, Positions(30, 10));
  EXPECT_EQ(Scored(alice), From(30, WholeScored(text)));
}

// The one who reads it first has the row before the first token, the one who shares it has not.
TEST(ScoringTest, ASystemPromptThatIsSharedChangesNoScore) {
  OpenRequest request;
  request.system_prompt = "be kind";
  request.sinks = 0;
  Conversation talk;
  auto& first = talk.OpenStream(request);
  first.Score(Numbers(20, 1));
  talk.Run();
  auto& second = talk.OpenStream(request);
  second.Score(Numbers(20, 1));
  talk.Run();
  const int32_t pinned = first.Read().opened->settings.sinks;
  EXPECT_EQ(Scored(first).positions, Positions(pinned + 1, 19));
  EXPECT_EQ(Scored(second), Scored(first));
}

TEST(ScoringTest, ASessionThatIsLeftBetweenPiecesScoresOn) {
  const auto text = Numbers(50, 1);
  Conversation talk;
  auto& alice = talk.OpenStream();
  OpenRequest again;
  again.id = alice.id();
  alice.Score(Piece(text, 0, 20));
  talk.Run();
  const Told before = Scored(alice);
  alice.Vanish();
  auto& back = talk.OpenStream(again);
  EXPECT_EQ(back.Read().opened->position, 19);
  back.Score(Piece(text, 20, 50));
  talk.Run();
  EXPECT_EQ(Scored(back).positions, Positions(20, 30));
  EXPECT_EQ(Scored(back), From(20, WholeScored(text)));
  EXPECT_THAT(before.positions, ElementsAreArray(Positions(1, 19)));
}

// ---- bounds ----

TEST(ScoringTest, AStepScoresNoMoreThanItsRowsAndSkipsFaster) {
  EngineOptions options = SmallOptions();
  options.limits.score_rows = 5;
  Conversation talk({}, options);
  auto& alice = talk.OpenStream();
  auto& bob = talk.OpenStream();
  alice.Score(Numbers(42, 1), {.skip_tokens = 34});
  bob.Score(Numbers(30, 2));
  std::vector<size_t> scored;  // by the end of each step
  while (talk.Run(1) > 0) {
    scored.push_back(Scored(alice).tokens.size() + Scored(bob).tokens.size());
  }
  ASSERT_THAT(scored, SizeIs(8));  // 37 of them, five a step
  std::adjacent_difference(scored.begin(), scored.end(), scored.begin());
  EXPECT_THAT(scored, Each(Le(5)));
  EXPECT_EQ(Scored(alice).positions, Positions(34, 8));
  EXPECT_EQ(Scored(bob).positions, Positions(1, 29));
}

TEST(ScoringTest, ASlowReaderPausesItsOwnSessionAlone) {
  EngineOptions options = SmallOptions();
  options.limits.score_rows = 4;
  Conversation talk({}, options);
  auto& slow = talk.OpenStream({}, /*capacity=*/3);
  auto& fast = talk.OpenStream();
  slow.Score(Numbers(60, 1));
  fast.Score(Numbers(60, 2));
  talk.Run();
  EXPECT_EQ(talk.observer().pauses, 1);
  EXPECT_THAT(fast.Read().appends, SizeIs(1));
  while (slow.Read().appends.empty()) ASSERT_GT(talk.Run(), 0);
  EXPECT_EQ(Scored(slow).positions, Positions(1, 59));
}

TEST(ScoringTest, DistributionsOfTooManyTokensAreRefusedAndNothingIsRead) {
  Conversation talk;
  auto& alice = talk.OpenStream();
  alice.Append("held", 1);
  alice.Score(Numbers(80, 1), {.skip_tokens = 10, .distributions = true});
  talk.Run();
  ASSERT_THAT(alice.Read().failures, SizeIs(1));
  const absl::Status& refused = alice.Read().failures[0].status;
  EXPECT_EQ(ErrorField(refused), "append.scoring.distributions");
  EXPECT_EQ(refused.message(),
            "append.scoring.distributions: of 74 scored tokens; of at most 64 in a request");
  alice.Score(Numbers(64, 1), {.distributions = true});
  talk.Run();
  EXPECT_THAT(alice.Read().failures, SizeIs(2));  // the held text makes it 67
  alice.Score(Numbers(61, 1), {.distributions = true});
  talk.Run();
  EXPECT_EQ(Scored(alice).tokens.front(), 'e');  // the second of "held"
  EXPECT_EQ(Scored(alice).positions, Positions(1, 64));
}

TEST(ScoringTest, WhatIsOutOfRangeIsRefusedByItsName) {
  Conversation talk;
  auto& alice = talk.OpenStream();
  alice.Score({'a'}, {.top_logprobs = 21});
  alice.Score({'a'}, {.top_logprobs = -1});
  alice.Score({'a'}, {.skip_tokens = -1});
  talk.Run();
  std::vector<std::string> messages;
  for (const auto& failure : alice.Read().failures) {
    messages.emplace_back(failure.status.message());
  }
  EXPECT_THAT(messages, ElementsAre("append.scoring.top_logprobs: is 21; must be in [0, 20]",
                                    "append.scoring.top_logprobs: is -1; must be in [0, 20]",
                                    "append.scoring.skip_tokens: is -1; must be at least 0"));
}

// ---- faults and ends ----

TEST(ScoringTest, LogitsThatAreNoNumbersFailTheRequestAlone) {
  Conversation talk;
  auto& alice = talk.OpenStream();
  alice.Score(Numbers(10, 1), {}, 3);
  talk.model().GiveNaNNextStep();
  talk.Run();
  ASSERT_THAT(alice.Read().failures, SizeIs(1));
  EXPECT_EQ(alice.Read().failures[0].request_id, 3);
  EXPECT_EQ(alice.Read().failures[0].status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(alice.Read().scores, IsEmpty());
  alice.Say("hi");
  talk.Run();
  EXPECT_THAT(alice.Read().turns, SizeIs(1));
}

TEST(ScoringTest, AStepThatFailsLeavesWhatWasScoredBefore) {
  const auto text = Numbers(40, 1);
  Conversation talk;
  auto& alice = talk.OpenStream();
  alice.Score(Piece(text, 0, 20));
  talk.Run();
  talk.model().FailNextStep();
  alice.Score(Piece(text, 20, 40));
  talk.Run();
  ASSERT_THAT(alice.Read().failures, SizeIs(1));
  alice.Score(Piece(text, 20, 40));
  talk.Run();
  EXPECT_EQ(Scored(alice), WholeScored(text));
}

TEST(ScoringTest, CancelEndsItAndWhatWasReadStays) {
  EngineOptions options = WideOptions();
  options.limits.score_rows = 8;
  Conversation talk({}, options);
  auto& alice = talk.OpenStream();
  alice.Score(Numbers(60, 1));
  talk.Run(2);
  alice.Cancel();
  ASSERT_THAT(alice.Read().failures, SizeIs(1));
  EXPECT_EQ(alice.Read().failures[0].status.code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(Scored(alice).positions, Positions(1, 16));
  EXPECT_EQ(talk.Run(), 0);
  alice.Feed({'?'}, Greedy(5));
  talk.Run();
  auto text = Piece(Numbers(60, 1), 0, 17);
  text.push_back('?');
  EXPECT_EQ(alice.Read().tokens, ReplyByDefinition(text, 4, 200, 5));
}

// How an append ends that has been scored up to its token 16.
struct EarlyEnd {
  const char* name;
  void (*end)(Conversation&, Stream&);
};

void PrintTo(const EarlyEnd& end, std::ostream* out) { *out << end.name; }

class EarlyEndTest : public testing::TestWithParam<EarlyEnd> {};

TEST_P(EarlyEndTest, TheNextAppendIsScoredBehindTheLastTokenTold) {
  const auto text = Numbers(40, 1);
  EngineOptions options = SmallOptions();
  options.limits.score_rows = 8;
  Conversation talk({}, options);
  auto& alice = talk.OpenStream();
  alice.Score(text);
  talk.Run(2);
  GetParam().end(talk, alice);
  ASSERT_THAT(alice.Read().failures, SizeIs(1));
  alice.Score(Piece(text, 17, 40));
  talk.Run();
  EXPECT_EQ(Scored(alice), WholeScored(text));
}

INSTANTIATE_TEST_SUITE_P(
    Ends, EarlyEndTest,
    testing::Values(EarlyEnd{"Cancelled", [](Conversation&, Stream& alice) { alice.Cancel(); }},
                    EarlyEnd{"AStepFailed",
                             [](Conversation& talk, Stream&) {
                               talk.model().FailNextStep();
                               talk.Run(1);
                             }},
                    EarlyEnd{"LogitsAreNoNumbers",
                             [](Conversation& talk, Stream&) {
                               talk.model().GiveNaNNextStep();
                               talk.Run(1);
                             }}),
    [](const auto& test) { return test.param.name; });

// Wherever it is cut within " two", which an append before it has left held.
TEST(ScoringTest, HeldTextThatACutAppendHasBegunIsScoredByTheNext) {
  const std::string whole = "one two four.";
  EngineOptions options = SmallOptions();
  options.limits.score_rows = 1;
  for (int rows = 0; rows <= 4; ++rows) {
    Conversation talk({}, options);
    auto& alice = talk.OpenStream();
    alice.Append("one two", 1, ScoringParams{});
    talk.Run();
    alice.Append(" three ", 2, ScoringParams{});
    EXPECT_EQ(talk.Run(rows), rows);
    alice.Cancel();
    alice.Append(" four", 3, ScoringParams{});
    alice.Score({'.'});
    talk.Run();
    EXPECT_EQ(Scored(alice), WholeScored({whole.begin(), whole.end()})) << rows;
  }
}

TEST(ScoringTest, AHalfClosedStreamHearsItsScoresAndEndsWell) {
  Conversation talk;
  OpenRequest request;
  request.idle_timeout = absl::ZeroDuration();
  auto& alice = talk.OpenStream(request);
  alice.Score(Numbers(30, 1));
  alice.HalfClose();
  talk.Run();
  EXPECT_EQ(Scored(alice), WholeScored(Numbers(30, 1)));
  EXPECT_EQ(alice.Read().closed, absl::OkStatus());
  EXPECT_EQ(talk.scheduler().Stats().sessions, 0);
}

TEST(ScoringTest, AStreamThatGoesGivesItsSessionUp) {
  Conversation talk;
  OpenRequest request;
  request.idle_timeout = absl::ZeroDuration();
  auto& alice = talk.OpenStream(request);
  alice.Score(Numbers(60, 1));
  talk.Run(1);
  alice.Vanish();
  EXPECT_EQ(talk.Run(), 0);
  EXPECT_EQ(talk.scheduler().Stats().sessions, 0);
  EXPECT_EQ(talk.scheduler().Stats().kv_bytes_reserved, 0);
}

}  // namespace
}  // namespace sinkstream
