#include "engine/logprobs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <random>

namespace sinkstream {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<TokenId> TopOf(const std::vector<float>& logits, int32_t count) {
  std::vector<TokenId> top;
  for (const auto& entry : Logprobs(logits, LogSumExp(logits), 0, count).top) {
    top.push_back(entry.token);
  }
  return top;
}

TEST(LogprobsTest, AreTheLogarithmsOfTheSoftmax) {
  const std::vector<float> logits = {1, 2, 3};
  const double log_sum = std::log(std::exp(1.0) + std::exp(2.0) + std::exp(3.0));
  EXPECT_DOUBLE_EQ(LogSumExp(logits), log_sum);
  EXPECT_FLOAT_EQ(Logprobs(logits, log_sum, 1, 0).chosen.logprob, static_cast<float>(2 - log_sum));
}

TEST(LogprobsTest, StayFiniteForLogitsThatAreFarFromZero) {
  const std::vector<float> logits = {-3e38f, 3e38f, 3e38f, -kInfinity};
  EXPECT_TRUE(CheckLogits(logits).ok());
  const auto all = LogDistribution(logits, LogSumExp(logits));
  EXPECT_LE(all[1], 0);
  EXPECT_GT(all[1], -kInfinity);
  EXPECT_EQ(all[3], -kInfinity);
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

TEST(LogprobsTest, LogitsThatAreNotFiniteAreRefused) {
  for (const std::vector<float>& logits :
       {std::vector<float>{0, NAN, 1}, {0, kInfinity}, {-kInfinity, -kInfinity}}) {
    EXPECT_EQ(CheckLogits(logits).code(), absl::StatusCode::kInternal);
  }
}

}  // namespace
}  // namespace sinkstream
