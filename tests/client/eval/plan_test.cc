// What is decided before a server is asked: policies, requests, the stream of a recall test.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "client/eval/evaluation.h"
#include "client/eval/policy.h"
#include "client/eval/recall_plan.h"

namespace sinkstream::eval {
namespace {

using testing::ElementsAre;

TEST(PolicyTest, TakesOfTheSettingsWhatItsKindUses) {
  EXPECT_EQ(MakePolicy(PolicyKind::kDense, 4, 252, 3000), (Policy{PolicyKind::kDense, 0, 3000}));
  EXPECT_EQ(MakePolicy(PolicyKind::kWindow, 4, 252, 3000), (Policy{PolicyKind::kWindow, 0, 252}));
  EXPECT_EQ(MakePolicy(PolicyKind::kSink, 4, 252, 3000), (Policy{PolicyKind::kSink, 4, 252}));
  EXPECT_EQ(MakePolicy(PolicyKind::kRecompute, 4, 252, 3000).cache(), 256);
}

TEST(PolicyTest, IsFoundByItsName) {
  for (const PolicyKind kind :
       {PolicyKind::kDense, PolicyKind::kWindow, PolicyKind::kSink, PolicyKind::kRecompute}) {
    EXPECT_EQ(PolicyKindByName(Name(kind)), kind);
  }
  EXPECT_EQ(PolicyKindByName("rolling"), std::nullopt);
}

TEST(PolicyTest, MayNotExceedTheTrainedContext) {
  EXPECT_TRUE(CheckPolicy({PolicyKind::kSink, 4, 8188}, 8192).ok());
  const absl::Status status = CheckPolicy({PolicyKind::kSink, 4, 8189}, 8192);
  EXPECT_EQ(status.message(),
            "sinks + window: is 8193 (4 + 8189); at most 8192, the context that the model was "
            "trained on");
}

TEST(PlanRequestsTest, TheFirstTokenHasNoScore) {
  EXPECT_THAT(PlanRequests(0, 500, {}), ElementsAre(StreamRequest{0, 500, 1, false}));
  EXPECT_THAT(PlanRequests(500, 600, {}), ElementsAre(StreamRequest{500, 600, 0, false}));
}

TEST(PlanRequestsTest, DistributionsAreAskedForAtTheSamplesAlone) {
  const std::vector<int64_t> samples = {3, 10, 11, 12, 19, 30};
  EXPECT_THAT(PlanRequests(10, 20, samples),
              ElementsAre(StreamRequest{10, 13, 0, true}, StreamRequest{13, 19, 0, false},
                          StreamRequest{19, 20, 0, true}));
}

TEST(PlanRequestsTest, NoRequestIsTooBig) {
  std::vector<int64_t> samples(100);
  std::iota(samples.begin(), samples.end(), 1);
  EXPECT_THAT(PlanRequests(1, 1200, samples),
              ElementsAre(StreamRequest{1, 65, 0, true}, StreamRequest{65, 101, 0, true},
                          StreamRequest{101, 1125, 0, false}, StreamRequest{1125, 1200, 0, false}));
}

// Facts of different lengths, whose tokens tell which they are.
std::vector<FactIds> SomeFacts(size_t count) {
  std::vector<FactIds> facts;
  for (size_t i = 0; i < count; ++i) {
    const auto mark = static_cast<int32_t>(i);
    facts.push_back({std::vector<int32_t>(9 + i % 3, 1000 + mark),
                     std::vector<int32_t>(8 + i % 3, 2000 + mark),
                     {3000 + mark}});
  }
  return facts;
}

TEST(RecallStreamTest, QuestionsComeExactlyTheDistanceAfterTheirFacts) {
  const auto facts = SomeFacts(12);
  const std::vector<int32_t> filler(20000, 7);
  for (const int64_t distance : {1, 20, 57, 252, 1000}) {
    const RecallStream stream = *MakeRecallStream(facts, distance, 64, filler);
    ASSERT_EQ(stream.questions.size(), facts.size());
    for (const Question& question : stream.questions) {
      const auto mark = static_cast<int32_t>(question.fact);
      const auto statement_end =
          std::find(stream.ids.rbegin(), stream.ids.rend(), 1000 + mark).base();
      const auto asked = std::find(stream.ids.begin(), stream.ids.end(), 2000 + mark);
      EXPECT_EQ(asked - statement_end, distance);
      EXPECT_EQ(stream.ids[static_cast<size_t>(question.answer_begin)], 3000 + mark);
      EXPECT_GE(statement_end - stream.ids.begin(), 64);
    }
  }
}

TEST(RecallStreamTest, NothingIsLeftOut) {
  const auto facts = SomeFacts(5);
  const RecallStream stream = *MakeRecallStream(facts, 100, 64, std::vector<int32_t>(2000, 7));
  for (int32_t mark = 0; mark < 5; ++mark) {
    EXPECT_EQ(std::count(stream.ids.begin(), stream.ids.end(), 1000 + mark), 9 + mark % 3);
    EXPECT_EQ(std::count(stream.ids.begin(), stream.ids.end(), 2000 + mark), 8 + mark % 3);
  }
}

TEST(RecallStreamTest, TooShortATextIsRefused) {
  const auto stream = MakeRecallStream(SomeFacts(5), 1000, 64, std::vector<int32_t>(500, 7));
  EXPECT_EQ(stream.status().message(),
            "the text has 500 tokens: too few for 5 facts at a distance of 1000");
}

TEST(RecallFactsTest, EachHasASubjectOfItsOwn) {
  const std::vector<size_t> words = {0, 3, 5};
  std::set<std::string> questions;
  for (size_t i = 0; i < MostFacts(); ++i) questions.insert(MakeFact(i, words).question);
  EXPECT_EQ(questions.size(), MostFacts());
  EXPECT_EQ(MakeFact(0, words).statement, "\nThe access word of the red door is velvet.\n");
}

}  // namespace
}  // namespace sinkstream::eval
