#include "engine/sampling/logprobs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>

#include "engine/sampling/logits.h"

namespace sinkstream {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

double LogSum(const std::vector<float>& logits) {
  return LogSumExp(logits, FindPeak(logits)->logit);
}

std::vector<TokenId> TopOf(const std::vector<float>& logits, int32_t count) {
  std::vector<TokenId> top;
  for (const auto& entry : Logprobs(logits, LogSum(logits), 0, count).top) {
    top.push_back(entry.token);
  }
  return top;
}

TEST(LogprobsTest, AreTheLogarithmsOfTheSoftmax) {
  const std::vector<float> logits = {1, 2, 3};
  const double log_sum = std::log(std::exp(1.0) + std::exp(2.0) + std::exp(3.0));
  EXPECT_NEAR(LogSum(logits), log_sum, 1e-6);
  EXPECT_FLOAT_EQ(Logprobs(logits, log_sum, 1, 0).chosen.logprob, static_cast<float>(2 - log_sum));
}

TEST(LogprobsTest, StayFiniteForLogitsThatAreFarFromZero) {
  const std::vector<float> logits = {-3e38f, 3e38f, 3e38f, -kInf};
  const auto all = LogDistribution(logits, LogSum(logits));
  EXPECT_LE(all[1], 0);
  EXPECT_GT(all[1], -kInf);
  EXPECT_EQ(all[3], -kInf);
}

// Rows of every length about a chunk's, of flat and of steep distributions, near zero and far.
TEST(LogprobsTest, AreThoseOfDoubleWithinAMillionth) {
  std::mt19937 random(1);
  for (const size_t size : {1, 2, 15, 16, 17, 255, 256, 257, 1000, 49152, 151936}) {
    for (const float spread : {0.0f, 0.1f, 1.0f, 4.0f, 30.0f}) {
      for (const float middle : {0.0f, -50.0f, 3000.0f}) {
        std::normal_distribution<float> draw(middle, spread + 1e-6f);
        std::vector<float> logits(size);
        for (float& logit : logits) logit = draw(random);
        const double highest = *std::max_element(logits.begin(), logits.end());
        double sum = 0;
        for (const double logit : logits) sum += std::exp(logit - highest);
        ASSERT_NEAR(LogSum(logits), highest + std::log(sum), 1e-6) << size << " " << spread;
      }
    }
  }
}

TEST(LogprobsTest, ExponentialsAreRightOverTheirWholeRange) {
  for (float x = 0; x > -87; x -= 0.37f) {
    const std::vector<float> logits = {x, 0};
    EXPECT_NEAR(LogSum(logits), std::log1p(std::exp(double{x})), 5e-7) << x;
  }
  EXPECT_EQ(LogSum({-1000, -kInf, 0}), 0);
}

TEST(LogprobsTest, TheLikeliestAreThoseOfAFullSort) {
  std::mt19937 random(1);
  std::uniform_int_distribution<int> draw(0, 40);  // many equals
  std::vector<float> logits(500);
  for (float& logit : logits) logit = static_cast<float>(draw(random));
  std::vector<TokenId> sorted(logits.size());
  std::iota(sorted.begin(), sorted.end(), 0);
  std::stable_sort(sorted.begin(), sorted.end(),
                   [&](TokenId a, TokenId b) { return logits[a] > logits[b]; });
  for (const int count : {1, 2, 20, 500}) {
    EXPECT_EQ(TopOf(logits, count), std::vector<TokenId>(sorted.begin(), sorted.begin() + count));
  }
  EXPECT_EQ(TopOf({5, 6}, 20), (std::vector<TokenId>{1, 0}));
}

}  // namespace
}  // namespace sinkstream
