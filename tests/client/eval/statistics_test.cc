#include "client/eval/statistics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace sinkstream::eval {
namespace {

using testing::DoubleNear;
using testing::ElementsAre;

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

TEST(PerplexityTest, IsOfTheTokensAfterTheWarmupThatHaveAScore) {
  const std::vector<double> nll = {kNone, 9, std::log(2), kNone, std::log(8)};
  EXPECT_DOUBLE_EQ(Perplexity(Sum(nll, 2)), 4);
  EXPECT_EQ(Sum(nll, 2).tokens, 2);
}

TEST(PerplexityTest, OfNoTokenIsNotANumber) {
  EXPECT_TRUE(std::isnan(Perplexity(Sum(std::vector<double>{kNone, 1}, 2))));
}

TEST(RunningPerplexityTest, EndsWithTheLastToken) {
  const std::vector<double> nll = {kNone, std::log(2), std::log(2), std::log(2), std::log(16)};
  const auto running = RunningPerplexity(nll, 1, 2);
  ASSERT_EQ(running.size(), 2u);
  EXPECT_EQ(running[0].token, 2);
  EXPECT_DOUBLE_EQ(running[0].perplexity, 2);
  EXPECT_EQ(running[1].token, 4);
  EXPECT_DOUBLE_EQ(running[1].perplexity, std::pow(2, 7.0 / 4));
}

TEST(MovingMeanTest, CountsTheLastScoresThereAre) {
  const auto means = MovingMean(std::vector<double>{kNone, 1, 3, kNone, 5}, 2);
  EXPECT_TRUE(std::isnan(means[0]));
  EXPECT_THAT(std::vector<double>(means.begin() + 1, means.end()), ElementsAre(1, 2, 2, 4));
}

TEST(SampleEvenlyTest, TakesTheMiddleOfEqualParts) {
  EXPECT_THAT(SampleEvenly(100, 130, 3), ElementsAre(105, 115, 125));
  EXPECT_THAT(SampleEvenly(7, 10, 0), ElementsAre(7, 8, 9));
  EXPECT_THAT(SampleEvenly(7, 10, 50), ElementsAre(7, 8, 9));
  EXPECT_THAT(SampleEvenly(10, 10, 5), ElementsAre());
}

TEST(KlDivergenceTest, IsWhatTheDefinitionSays) {
  const auto log = [](std::vector<float> p) {
    for (float& value : p) value = std::log(value);
    return p;
  };
  const auto p = log({0.5, 0.25, 0.25});
  const auto q = log({0.25, 0.25, 0.5});
  EXPECT_EQ(KlDivergence(p, p), 0);
  EXPECT_THAT(KlDivergence(p, q), DoubleNear(0.25 * std::log(2), 1e-7));
  EXPECT_THAT(KlDivergence(log({1, 0, 0}), p), DoubleNear(std::log(2), 1e-7));
  // The probability is no number above 0, its logarithm is one.
  EXPECT_EQ(KlDivergence(std::vector<float>{0, -1e5F}, log({1, 0})), 0);
}

}  // namespace
}  // namespace sinkstream::eval
