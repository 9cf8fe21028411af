#include "engine/sampling/logits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

namespace sinkstream {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

std::vector<float> RandomLogits(size_t count) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal(0, 3);
  std::vector<float> logits(count);
  for (float& logit : logits) logit = normal(random);
  return logits;
}

TEST(FindPeakTest, FindsTheHighestWhereverItStands) {
  for (size_t count = 1; count < 70; ++count) {
    for (size_t place = 0; place < count; ++place) {
      std::vector<float> logits(count, -2);
      logits[place] = -1;
      const auto peak = FindPeak(logits).value();
      EXPECT_EQ(peak.token, static_cast<TokenId>(place)) << "of " << count;
      EXPECT_EQ(peak.logit, -1);
    }
  }
}

TEST(FindPeakTest, OfEqualsTheLowestId) {
  std::vector<float> logits(50, 0);
  logits[21] = logits[20] = logits[49] = 3;
  EXPECT_EQ(FindPeak(logits).value().token, 20);
}

TEST(FindPeakTest, RefusesWhatIsNotFiniteWhereverItStands) {
  for (const size_t place : {0, 5, 15, 16, 38}) {
    for (const float bad : {kNan, kInfinity}) {
      std::vector<float> logits(39, 1);
      logits[place] = bad;
      EXPECT_EQ(FindPeak(logits).status().code(), absl::StatusCode::kInternal) << place;
    }
  }
  EXPECT_FALSE(FindPeak(std::vector<float>(39, -kInfinity)).ok());
  EXPECT_FALSE(FindPeak({}).ok());
}

TEST(FindPeakTest, MinusInfinityIsOnlyUnlikely) {
  std::vector<float> logits(39, -kInfinity);
  logits[17] = -3;
  EXPECT_EQ(FindPeak(logits).value().token, 17);
}

TEST(FindAtLeastTest, GivesAllInTheOrderOfTheirIds) {
  const auto logits = RandomLogits(1003);
  std::vector<TokenId> expected;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] >= 4) expected.push_back(static_cast<TokenId>(i));
  }
  std::vector<TokenId> tokens = {1, 2, 3};
  FindAtLeast(logits, 4, tokens);
  EXPECT_EQ(tokens, expected);
  EXPECT_GT(tokens.size(), 10u);
}

TEST(ExpInPlaceTest, IsTheExponentialToSevenDigits) {
  std::vector<float> values;
  for (float x = 0; x > -86.9f; x -= 0.0037f) values.push_back(x);
  std::vector<float> powers = values;
  ExpInPlace(absl::MakeSpan(powers));
  for (size_t i = 0; i < values.size(); ++i) {
    const double exact = std::exp(double{values[i]});
    ASSERT_NEAR(powers[i] / exact, 1, 2e-7) << values[i];
  }
}

TEST(ExpInPlaceTest, OfNothingIsOneAndOfVeryLittleIsNothing) {
  std::vector<float> values = {0, -88, -1e30f, -kInfinity};
  ExpInPlace(absl::MakeSpan(values));
  EXPECT_THAT(values, testing::ElementsAre(1, 0, 0, 0));
}

}  // namespace
}  // namespace sinkstream
