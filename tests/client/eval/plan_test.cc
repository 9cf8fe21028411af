// What is decided before a server is asked: policies, requests, the stream of a recall test, the
// command line.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "client/eval/evaluation.h"
#include "client/eval/policy.h"
#include "client/eval/recall_plan.h"
#include "client/tool/arguments.h"

namespace sinkstream::eval {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

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

struct Parsed {
  std::string text;
  int64_t tokens = 5;
  std::vector<int64_t> distances;
  std::string error;
};

Parsed Parse(std::vector<const char*> arguments) {
  Parsed parsed;
  const std::vector<Flag> flags = {
      Required(TextFlag("text", "FILE", "what is read", &parsed.text)),
      IntegerFlag("skip-tokens", "N", "so many", &parsed.tokens, 0, 99),
      IntegersFlag("distances", "D,D", "far", &parsed.distances, 1)};
  parsed.error = std::string(ParseFlags(flags, arguments).message());
  return parsed;
}

TEST(ParseFlagsTest, TakesValuesInEitherForm) {
  const Parsed parsed = Parse({"--text", "a=b", "--skip_tokens=7", "--distances=1,20"});
  EXPECT_EQ(parsed.error, "");
  EXPECT_EQ(parsed.text, "a=b");
  EXPECT_EQ(parsed.tokens, 7);
  EXPECT_THAT(parsed.distances, ElementsAre(1, 20));
}

TEST(ParseFlagsTest, SaysWhatIsWrongInOneLine) {
  EXPECT_EQ(Parse({"--tex=x"}).error, "there is no flag --tex");
  EXPECT_EQ(Parse({"x"}).error, "unexpected argument 'x'");
  EXPECT_EQ(Parse({}).error, "--text: is required");
  EXPECT_EQ(Parse({"--text"}).error, "--text: has no value");
  EXPECT_EQ(Parse({"--text="}).error, "--text: is ''; must not be empty");
  EXPECT_EQ(Parse({"--skip-tokens=-1"}).error,
            "--skip-tokens: is '-1'; must be a whole number in [0, 99]");
  EXPECT_THAT(Parse({"--distances=1,,2"}).error, HasSubstr("must be a whole number of at least 1"));
}

}  // namespace
}  // namespace sinkstream::eval
