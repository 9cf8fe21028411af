#include "engine/sampling/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <initializer_list>
#include <limits>
#include <map>

#include "engine/sampling/sampling_rules.h"

namespace sinkstream {
namespace {

using testing::HasSubstr;

SamplingParams Plain() {
  SamplingParams params;
  params.temperature = 1;
  params.top_p = 1;
  return params;
}

class SamplerTest : public testing::Test {
 protected:
  TokenId Token(const std::vector<float>& logits, const SamplingParams& params, double draw = 0,
                const std::vector<TokenId>& recent = {}) {
    return sampler_.Sample({logits}, params, recent, draw).value().token;
  }
  // The tokens that draws over all of [0, 1) give, with their shares.
  std::map<TokenId, double> Shares(const std::vector<float>& logits, const SamplingParams& params,
                                   const std::vector<TokenId>& recent = {}) {
    std::map<TokenId, double> shares;
    constexpr int kDraws = 4000;
    for (int i = 0; i < kDraws; ++i) {
      shares[Token(logits, params, (i + 0.5) / kDraws, recent)] += 1.0 / kDraws;
    }
    return shares;
  }
  static float LogOf(double probability) { return static_cast<float>(std::log(probability)); }

  Sampler sampler_;
};

TEST_F(SamplerTest, TemperatureZeroTakesTheLikeliestAndOfEqualsTheLowestId) {
  auto params = Plain();
  params.temperature = 0;
  EXPECT_EQ(Token({1, 3, 2, 3}, params, 0.99), 1);
}

TEST_F(SamplerTest, DrawsFollowTheProbabilities) {
  const auto shares = Shares({LogOf(.5), LogOf(.3), LogOf(.2)}, Plain());
  EXPECT_NEAR(shares.at(0), .5, .001);
  EXPECT_NEAR(shares.at(1), .3, .001);
  EXPECT_NEAR(shares.at(2), .2, .001);
}

TEST_F(SamplerTest, AnAbsurdlySmallPenaltyLeavesALikeliestToken) {
  auto params = Plain();
  params.repetition_penalty = 1e-300;
  EXPECT_EQ(Token({-50, 5, 4}, params, 0.5, {1}), 1);
  EXPECT_EQ(Shares({-50, 5, 4}, params, {1, 2}).size(), 2) << "both as large as can be";
}

TEST_F(SamplerTest, TemperatureSharpens) {
  auto params = Plain();
  params.temperature = 0.5;  // squares the odds
  const auto shares = Shares({LogOf(.6), LogOf(.3)}, params);
  EXPECT_NEAR(shares.at(0), .8, .001);
}

TEST_F(SamplerTest, TopKKeepsTheKLikeliest) {
  auto params = Plain();
  params.top_k = 2;
  const auto shares = Shares({LogOf(.2), LogOf(.5), LogOf(.3)}, params);
  EXPECT_EQ(shares.size(), 2);
  EXPECT_NEAR(shares.at(1), .625, .001);
}

TEST_F(SamplerTest, TopPKeepsTheSmallestSetThatReachesIt) {
  auto params = Plain();
  params.top_p = .75;
  const auto shares = Shares({LogOf(.5), LogOf(.3), LogOf(.15), LogOf(.05)}, params);
  EXPECT_EQ(shares.size(), 2);
  params.top_p = .85;
  EXPECT_EQ(Shares({LogOf(.5), LogOf(.3), LogOf(.15), LogOf(.05)}, params).size(), 3);
}

TEST_F(SamplerTest, TopPIsRightWhenTheSetIsLongerThanTheFirstSortedHead) {
  auto params = Plain();
  params.top_p = .5;
  EXPECT_EQ(Shares(std::vector<float>(1000, 0.f), params).size(), 500);
}

TEST_F(SamplerTest, MinPKeepsWhatIsLikelyEnoughBesideTheLikeliest) {
  auto params = Plain();
  params.min_p = .5;
  EXPECT_EQ(Shares({LogOf(.5), LogOf(.3), LogOf(.2)}, params).size(), 2);
}

TEST_F(SamplerTest, RepetitionPenaltyDividesPositiveAndMultipliesNegativeLogits) {
  auto params = Plain();
  params.temperature = 0;
  params.repetition_penalty = 2;
  EXPECT_EQ(Token({4, 3}, params, 0, {0}), 1);
  EXPECT_EQ(Token({-1, -1.5}, params, 0, {0}), 1);
  EXPECT_EQ(Token({4, 1}, params, 0, {0}), 0);
}

TEST_F(SamplerTest, PresenceCountsOnceAndFrequencyEachTime) {
  auto params = Plain();
  params.temperature = 0;
  params.presence_penalty = 1;
  EXPECT_EQ(Token({3, 1.5}, params, 0, {0, 0, 0}), 0);
  params.presence_penalty = 0;
  params.frequency_penalty = 1;
  EXPECT_EQ(Token({3, 1.5}, params, 0, {0, 0, 0}), 1);
}

TEST_F(SamplerTest, PenaltiesForgetWhatIsOlderThanTheirWindow) {
  auto params = Plain();
  params.temperature = 0;
  params.presence_penalty = 10;
  params.penalty_last_n = 2;
  EXPECT_EQ(Token({3, 1, 1}, params, 0, {0, 1, 2}), 0);
  params.penalty_last_n = 3;
  EXPECT_EQ(Token({3, 1, 1.5}, params, 0, {0, 1, 2}), 0);
  EXPECT_EQ(Token({3, 1, 1.5}, params, 0, {0, 1}), 2);
}

TEST_F(SamplerTest, LogprobsAreTheModelsOwnBeforePenaltiesAndTemperature) {
  auto params = Plain();
  params.temperature = 0;
  params.presence_penalty = 10;
  params.top_logprobs = 2;
  const std::vector<float> logits = {LogOf(.5), LogOf(.3), LogOf(.2)};
  const auto sampled = sampler_.Sample({logits}, params, std::vector<TokenId>{0}, 0).value();
  EXPECT_EQ(sampled.token, 1);
  EXPECT_NEAR(sampled.logprob->chosen.logprob, std::log(.3), 1e-6);
  ASSERT_EQ(sampled.logprob->top.size(), 2);
  EXPECT_EQ(sampled.logprob->top[0].token, 0);
  EXPECT_NEAR(sampled.logprob->top[0].logprob, std::log(.5), 1e-6);
}

TEST_F(SamplerTest, RefusesLogitsThatAreNotFinite) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const std::vector<float>& bad :
       {std::vector<float>{1, kNan}, {kInfinity, 1}, {-kInfinity, -kInfinity}}) {
    EXPECT_EQ(sampler_.Sample({bad}, Plain(), {}, 0).status().code(), absl::StatusCode::kInternal);
  }
  EXPECT_EQ(Token({-kInfinity, 0}, Plain()), 1);
}

TEST_F(SamplerTest, APeakThatTheModelHasFoundIsTakenInPlaceOfOneOfItsOwn) {
  auto params = Plain();
  params.temperature = 0;
  const std::vector<float> unread(3, std::numeric_limits<float>::quiet_NaN());
  ASSERT_TRUE(TakesPeakAlone(params));
  EXPECT_EQ(sampler_.Sample({unread, Peak{2, 5}}, params, {}, 0)->token, 2);
  EXPECT_FALSE(sampler_.Sample({unread, Peak{2, unread[0]}}, params, {}, 0).ok());

  const std::vector<float> logits = {LogOf(.2), LogOf(.3), LogOf(.5)};
  params.temperature = 1;
  for (const double draw : {0.0, 0.25, 0.6, 0.99}) {
    EXPECT_EQ(sampler_.Sample({logits, Peak{2, LogOf(.5)}}, params, {}, draw)->token,
              Token(logits, params, draw));
  }
}

TEST(TakesPeakAloneTest, OnlyWhereNothingElseOfTheLogitsIsAskedFor) {
  auto greedy = Plain();
  greedy.temperature = 0;
  EXPECT_TRUE(TakesPeakAlone(greedy));
  for (const auto& change : std::initializer_list<std::function<void(SamplingParams&)>>{
           [](auto& params) { params.temperature = 0.1; },
           [](auto& params) { params.top_logprobs = 0; },
           [](auto& params) { params.penalty_last_n = 1, params.repetition_penalty = 1.1; },
           [](auto& params) { params.penalty_last_n = 1, params.presence_penalty = 0.1; },
           [](auto& params) { params.penalty_last_n = 1, params.frequency_penalty = 0.1; }}) {
    auto params = greedy;
    change(params);
    EXPECT_FALSE(TakesPeakAlone(params));
  }
}

TEST(UniformDrawTest, IsAFunctionOfSeedAndIndexAndLooksUniform) {
  EXPECT_EQ(UniformDraw(7, 3), UniformDraw(7, 3));
  EXPECT_NE(UniformDraw(7, 3), UniformDraw(8, 3));
  double sum = 0;
  for (uint64_t i = 0; i < 10000; ++i) {
    const double draw = UniformDraw(42, i);
    ASSERT_GE(draw, 0);
    ASSERT_LT(draw, 1);
    sum += draw;
  }
  EXPECT_NEAR(sum / 10000, .5, .01);
}

std::string Fault(const SamplingParams& params) {
  return std::string(ValidateSampling(params, 100, 2000, "turn.sampling.").message());
}

TEST(SamplingRulesTest, NameTheFieldTheValueAndTheLimit) {
  EXPECT_EQ(Fault(SamplingParams()), "");
  SamplingParams params;
  params.temperature = -1;
  EXPECT_EQ(Fault(params), "turn.sampling.temperature: is -1; must be in [0, 10]");
  params.temperature = 10.0000001;
  EXPECT_EQ(Fault(params), "turn.sampling.temperature: is 10.0000001; must be in [0, 10]");
}

TEST(SamplingRulesTest, RefuseEveryAbsurdValue) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  const auto with = [](auto set) {
    SamplingParams params;
    set(params);
    return Fault(params);
  };
  for (const double bad : {nan, infinity, -infinity, -0.1, 10.1}) {
    EXPECT_THAT(with([&](auto& p) { p.temperature = bad; }), HasSubstr("temperature"));
  }
  for (const double bad : {nan, 0.0, 1.1, -1.0}) {
    EXPECT_THAT(with([&](auto& p) { p.top_p = bad; }), HasSubstr("top_p"));
  }
  for (const double bad : {nan, 1.0, -0.1}) {
    EXPECT_THAT(with([&](auto& p) { p.min_p = bad; }), HasSubstr("min_p"));
  }
  for (const double bad : {nan, 0.0, 10.5}) {
    EXPECT_THAT(with([&](auto& p) { p.repetition_penalty = bad; }),
                HasSubstr("repetition_penalty"));
  }
  for (const double bad : {nan, -11.0, 11.0}) {
    EXPECT_THAT(with([&](auto& p) { p.presence_penalty = bad; }), HasSubstr("presence_penalty"));
    EXPECT_THAT(with([&](auto& p) { p.frequency_penalty = bad; }), HasSubstr("frequency_penalty"));
  }
  for (const int bad : {-1, 101}) {
    EXPECT_THAT(with([&](auto& p) { p.top_k = bad; }), HasSubstr("top_k"));
  }
  for (const int bad : {-1, 4097}) {
    EXPECT_THAT(with([&](auto& p) { p.penalty_last_n = bad; }), HasSubstr("penalty_last_n"));
  }
  for (const int bad : {0, -5, 2001}) {
    EXPECT_THAT(with([&](auto& p) { p.max_tokens = bad; }), HasSubstr("max_tokens"));
  }
  for (const int bad : {-1, 21}) {
    EXPECT_THAT(with([&](auto& p) { p.top_logprobs = bad; }), HasSubstr("top_logprobs"));
  }
  EXPECT_THAT(with([](auto& p) { p.stop_strings = {""}; }), HasSubstr("stop_strings"));
  EXPECT_THAT(with([](auto& p) { p.stop_strings = {std::string(257, 'x')}; }),
              HasSubstr("257 bytes"));
  EXPECT_THAT(with([](auto& p) { p.stop_strings.assign(17, "x"); }), HasSubstr("a list of 17"));
  EXPECT_THAT(with([](auto& p) { p.stop_tokens = {100}; }), HasSubstr("in [0, 100)"));
  EXPECT_THAT(with([](auto& p) { p.stop_tokens.assign(65, 1); }), HasSubstr("a list of 65"));
}

TEST(SamplingRulesTest, OverridesKeepWhatTheyLeaveOut) {
  SamplingParams base;
  base.top_k = 7;
  base.stop_strings = {"x"};
  SamplingOverrides overrides;
  overrides.temperature = 0.0;
  auto merged = ApplyOverrides(base, overrides);
  EXPECT_EQ(merged.temperature, 0);
  EXPECT_EQ(merged.top_k, 7);
  EXPECT_EQ(merged.stop_strings, std::vector<std::string>{"x"});
  overrides.stop_strings = {"y", "z"};
  EXPECT_EQ(ApplyOverrides(base, overrides).stop_strings, overrides.stop_strings);
}

}  // namespace
}  // namespace sinkstream
