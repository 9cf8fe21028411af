// Whole measurements against a server whose model is computed here too.
#include "client/eval/evaluation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <fstream>
#include <limits>

#include "client/eval/drift.h"
#include "client/eval/drift_state.h"
#include "client/eval/statistics.h"
#include "tests/client/eval/scoring_server.h"
#include "tests/scratch_files.h"

namespace sinkstream::eval {
namespace {

using testing::AllOf;
using testing::Each;
using testing::HasSubstr;
using testing::StartsWith;

// Token ids that are not all alike.
Ids SomeText(int64_t tokens) {
  Ids ids;
  for (int64_t i = 0; i < tokens; ++i) {
    ids.push_back(static_cast<int32_t>((i * i / 7 + i % 13) % kVocabulary));
  }
  return ids;
}

Policy Of(PolicyKind kind, int64_t sinks, int64_t window) { return {kind, sinks, window}; }

class EvaluationTest : public testing::Test {
 protected:
  EvaluationTest() { EXPECT_TRUE(client_.Connect().ok()); }

  ScoringServer server_;
  ScoreClient client_{server_.address()};
};

constexpr auto kQuietly = [](int64_t) {};

TEST_F(EvaluationTest, EachPolicySeesWhatItIsMeantToSee) {
  const Ids ids = SomeText(300);
  EvaluationPlan plan;
  plan.ids = ids;
  plan.policies = {Of(PolicyKind::kDense, 0, 300), Of(PolicyKind::kWindow, 0, 40),
                   Of(PolicyKind::kSink, 4, 36), Of(PolicyKind::kRecompute, 0, 40)};
  plan.samples = {20, 150, 151, 299};
  Evaluation evaluation(client_, plan);
  ASSERT_TRUE(evaluation.Run(kQuietly).ok());
  for (int64_t token = 1; token < 300; ++token) {
    const auto t = static_cast<size_t>(token);
    EXPECT_EQ(evaluation.nll(0)[t], Nll(ids, token, 0, 300));
    EXPECT_EQ(evaluation.nll(1)[t], Nll(ids, token, 0, 40));
    EXPECT_EQ(evaluation.nll(2)[t], Nll(ids, token, 4, 36));
  }
  for (const int64_t token : plan.samples) {
    EXPECT_EQ(evaluation.nll(3)[static_cast<size_t>(token)], Nll(ids, token, 0, 40));
  }
  EXPECT_TRUE(std::isnan(evaluation.nll(0)[0]));
  EXPECT_TRUE(std::isnan(evaluation.nll(3)[152]));
  EXPECT_EQ(server_.sessions(), 0u);
}

TEST_F(EvaluationTest, DivergencesAreOfTheSamplesFromTheRecomputedOnes) {
  const Ids ids = SomeText(200);
  EvaluationPlan plan;
  plan.ids = ids;
  plan.policies = {Of(PolicyKind::kSink, 4, 26), Of(PolicyKind::kRecompute, 0, 30)};
  plan.samples = {50, 120, 121};
  plan.compared = {0};
  Evaluation evaluation(client_, plan);
  ASSERT_TRUE(evaluation.Run(kQuietly).ok());
  ASSERT_EQ(evaluation.divergences(0).size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_DOUBLE_EQ(
        evaluation.divergences(0)[i],
        KlDivergence(Predict(ids, plan.samples[i], 0, 30), Predict(ids, plan.samples[i], 4, 26)));
  }
}

TEST_F(EvaluationTest, NoFigureDependsOnTheCallsAtATime) {
  EvaluationPlan plan;
  plan.ids = SomeText(1500);
  plan.policies = {Of(PolicyKind::kWindow, 0, 30), Of(PolicyKind::kSink, 4, 26),
                   Of(PolicyKind::kRecompute, 0, 30)};
  plan.samples = SampleEvenly(100, 1500, 150);
  plan.compared = {0, 1};
  plan.parallel = 1;
  Evaluation alone(client_, plan);
  ASSERT_TRUE(alone.Run(kQuietly).ok());
  plan.parallel = 8;
  Evaluation together(client_, plan);
  ASSERT_TRUE(together.Run(kQuietly).ok());
  for (size_t policy = 0; policy < 3; ++policy) {
    EXPECT_EQ(Perplexity(Sum(alone.nll(policy), 100)), Perplexity(Sum(together.nll(policy), 100)));
  }
  EXPECT_EQ(alone.divergences(0), together.divergences(0));
  EXPECT_EQ(alone.divergences(1), together.divergences(1));
}

TEST_F(EvaluationTest, ADenseStreamEndsWithItsWindow) {
  EvaluationPlan plan;
  plan.ids = SomeText(100);
  plan.policies = {Of(PolicyKind::kDense, 0, 60)};
  Evaluation evaluation(client_, plan);
  ASSERT_TRUE(evaluation.Run(kQuietly).ok());
  EXPECT_EQ(Sum(evaluation.nll(0), 0).tokens, 59);
}

TEST_F(EvaluationTest, AServerWithoutRoomIsAskedAgainWhenItSays) {
  server_.RefuseOpens(3);
  EvaluationPlan plan;
  plan.ids = SomeText(100);
  plan.policies = {Of(PolicyKind::kSink, 4, 26)};
  Evaluation evaluation(client_, plan);
  testing::internal::CaptureStderr();
  EXPECT_TRUE(evaluation.Run(kQuietly).ok());
  EXPECT_EQ(testing::internal::GetCapturedStderr(),
            "sinkstream-eval: " + server_.address() + ": has no room (no memory): waiting\n");
}

TEST_F(EvaluationTest, WhatIsRefusedForGoodIsNotAskedForAgain) {
  server_.RefuseOpens(1, /*for_now=*/false);
  EvaluationPlan plan;
  plan.ids = SomeText(100);
  plan.policies = {Of(PolicyKind::kSink, 4, 26)};
  Evaluation evaluation(client_, plan);
  EXPECT_EQ(evaluation.Run(kQuietly).message(),
            server_.address() + ": RESOURCE_EXHAUSTED: too big");
}

TEST_F(EvaluationTest, WhatWasMeasuredUntilTheServerWasGoneIsThere) {
  server_.BreakBeyond(1024);
  EvaluationPlan plan;
  plan.ids = SomeText(2000);
  plan.policies = {Of(PolicyKind::kSink, 4, 26)};
  Evaluation evaluation(client_, plan);
  const absl::Status status = evaluation.Run(kQuietly);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(status.message(), server_.address() + ": UNAVAILABLE: shutting down");
  EXPECT_EQ(Sum(evaluation.nll(0), 0).tokens, 1023);
}

TEST_F(EvaluationTest, NothingIsAskedAfterAnInterrupt) {
  client_.Stop();
  EvaluationPlan plan;
  plan.ids = SomeText(100);
  plan.policies = {Of(PolicyKind::kSink, 4, 26)};
  Evaluation evaluation(client_, plan);
  EXPECT_EQ(evaluation.Run(kQuietly).code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(server_.tokens_read(), 0);
}

TEST(AddScoresTest, ScoresOfOtherTokensAreRefused) {
  v1::Scores answer;
  answer.add_logprobs()->mutable_chosen()->set_token_id(5);
  std::vector<TokenScore> scores;
  EXPECT_TRUE(AddScores(answer, Ids{5}, 0, scores).ok());
  EXPECT_THAT(std::string(AddScores(answer, Ids{5}, 0, scores).message()),
              HasSubstr("other tokens"));
  scores.clear();
  EXPECT_THAT(std::string(AddScores(answer, Ids{6}, 0, scores).message()),
              HasSubstr("other tokens"));
}

TEST(AddScoresTest, DistributionsOfAnotherSizeAreRefused) {
  v1::Scores answer;
  answer.add_logprobs()->mutable_chosen()->set_token_id(5);
  answer.add_distributions(std::string(4 * 7, '\0'));
  std::vector<TokenScore> scores;
  EXPECT_TRUE(AddScores(answer, Ids{5}, 7, scores).ok());
  scores.clear();
  EXPECT_EQ(AddScores(answer, Ids{5}, 8, scores).message(),
            "the server's distribution has 7 tokens; must be of 8");
}

class DriftTest : public EvaluationTest {
 protected:
  DriftTest() {
    options_.subject.text = files_.Path("text");
    options_.subject.server = server_.address();
    options_.cache = {4, 26};
    options_.stretches = 3;
    options_.recompute_tokens = 7;
    options_.state = files_.Path("state.json");
    options_.json = files_.Path("json");
    std::ofstream text(options_.subject.text);
    for (int i = 0; i < 6000; ++i)
      text << static_cast<char>('a' + i * i % 23) << (i % 5 ? "" : " ");
  }

  // The report, without what time and chance say.
  Json Report() const {
    std::ifstream file(options_.json);
    Json report = Json::parse(file);
    for (Json& stretch : report["stretches"]) stretch.erase("milliseconds_per_token");
    return report;
  }

  // The report of a run that nothing disturbs, which leaves no state behind.
  Json WholeRun() {
    EXPECT_TRUE(RunDrift(options_, client_).ok());
    std::remove(options_.state.c_str());
    return Report();
  }

  // A run that the server breaks off, and would not again; the position that it had come to.
  int64_t BreakOff() {
    server_.BreakBeyond(4000);
    EXPECT_FALSE(RunDrift(options_, client_).ok());
    server_.BreakBeyond(100000);
    return Report()["position"];
  }

  const ScratchFiles files_;
  DriftOptions options_;
};

TEST_F(DriftTest, TellsOfEachStretch) {
  ASSERT_TRUE(RunDrift(options_, client_).ok());
  const Json report = Report();
  EXPECT_EQ(report["complete"], true);
  ASSERT_EQ(report["stretches"].size(), 3u);
  for (const Json& stretch : report["stretches"]) {
    EXPECT_EQ(stretch["resident_bytes"], int64_t{100} << 20);
    EXPECT_EQ(stretch["recomputed_tokens"], 7);
  }
  EXPECT_EQ(report["stretches"][2]["end"], 7200);
  EXPECT_EQ(server_.sessions(), 0u);
}

TEST_F(DriftTest, GoesOnInItsSessionWhereItLives) {
  const Json whole = WholeRun();
  const int64_t read = server_.tokens_read();
  server_.BreakBeyond(4000);
  const absl::Status broken = RunDrift(options_, client_);
  EXPECT_THAT(std::string(broken.message()), HasSubstr("the same command goes on from token 3"));
  EXPECT_EQ(Report()["complete"], false);
  server_.BreakBeyond(100000);
  ASSERT_TRUE(RunDrift(options_, client_).ok());
  EXPECT_EQ(Report(), whole);
  EXPECT_EQ(server_.tokens_read() - read, 7200);
}

TEST_F(DriftTest, ReadsAgainWhereTheSessionIsGone) {
  const Json whole = WholeRun();
  const int64_t read = server_.tokens_read();
  const int64_t position = BreakOff();
  server_.ForgetSessions();
  ASSERT_TRUE(RunDrift(options_, client_).ok());
  EXPECT_EQ(Report(), whole);
  EXPECT_EQ(server_.tokens_read() - read, 7200 + position);
}

TEST_F(DriftTest, ReadsAgainWhereTheSessionCannotBeReadBack) {
  const Json whole = WholeRun();
  const int64_t read = server_.tokens_read();
  const int64_t position = BreakOff();
  server_.LoseSessions();
  ASSERT_TRUE(RunDrift(options_, client_).ok());
  EXPECT_EQ(Report(), whole);
  EXPECT_EQ(server_.tokens_read() - read, 7200 + position);
}

TEST_F(DriftTest, ReadsAgainWhereTheSessionHasReadMoreThanWasTold) {
  const Json whole = WholeRun();
  const int64_t read = server_.tokens_read();
  const int64_t position = BreakOff();
  server_.FeedWhatSessionsOwe();
  ASSERT_TRUE(RunDrift(options_, client_).ok());
  EXPECT_EQ(Report(), whole);
  EXPECT_EQ(server_.tokens_read() - read, 7200 + position);
  EXPECT_EQ(server_.sessions(), 0u);
}

TEST_F(DriftTest, ASessionThatWasStillReadingAgainIsClosed) {
  const Json whole = WholeRun();
  server_.BreakBeyond(4000);
  ASSERT_FALSE(RunDrift(options_, client_).ok());
  server_.ForgetSessions();
  server_.BreakBeyond(2000);
  ASSERT_FALSE(RunDrift(options_, client_).ok());
  EXPECT_EQ(server_.sessions(), 1u);
  server_.BreakBeyond(100000);
  ASSERT_TRUE(RunDrift(options_, client_).ok());
  EXPECT_EQ(Report(), whole);
  EXPECT_EQ(server_.sessions(), 0u);
}

TEST_F(DriftTest, TheStateOfAnotherRunIsRefused) {
  ASSERT_TRUE(RunDrift(options_, client_).ok());
  options_.cache.window = 27;
  const absl::Status status = RunDrift(options_, client_);
  EXPECT_EQ(status.message(),
            options_.state +
                ": is of another run (its window is 26, not 27); remove it, or name "
                "another with --state");
  std::ofstream(options_.state) << "{\"run\":";
  EXPECT_THAT(std::string(RunDrift(options_, client_).message()),
              AllOf(StartsWith(options_.state), HasSubstr("damaged")));
}

TEST_F(DriftTest, TheStateOfAServerThatCachesOtherwiseIsRefused) {
  ASSERT_TRUE(RunDrift(options_, client_).ok());
  server_.CacheAs("bfloat16");
  EXPECT_THAT(std::string(RunDrift(options_, client_).message()),
              HasSubstr("its kv_dtype is \"float32\", not \"bfloat16\""));
}

TEST_F(DriftTest, AStateBeyondTheTextIsDamaged) {
  ASSERT_TRUE(RunDrift(options_, client_).ok());
  Json state = Json::parse(std::ifstream(options_.state));
  for (const int64_t position : {-1, 7201}) {
    state["position"] = position;
    std::ofstream(options_.state) << state;
    EXPECT_THAT(std::string(RunDrift(options_, client_).message()), HasSubstr("damaged"));
  }
}

TEST(DriftStateTest, KeepsTheScoreOfATokenThatTheModelRulesOut) {
  const ScratchFiles files;
  const std::string path = files.Path("state.json");
  DriftRun run;
  run.tokens = 10;
  run.stretches = 1;
  DriftState state = BeginDrift(run);
  state.stretches[0].sum.Add(std::numeric_limits<double>::infinity());
  state.stretches[0].sampled = {1.5, std::numeric_limits<double>::infinity()};
  ASSERT_TRUE(SaveDrift(path, state).ok());
  const auto loaded = LoadDrift(path, run);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->stretches[0].sum.total, std::numeric_limits<double>::infinity());
  EXPECT_EQ(loaded->stretches[0].sampled, state.stretches[0].sampled);
}

}  // namespace
}  // namespace sinkstream::eval
