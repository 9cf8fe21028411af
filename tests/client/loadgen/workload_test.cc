#include "client/loadgen/workload.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace sinkstream::loadgen {
namespace {

using testing::HasSubstr;

double MeanOf(const Distribution& distribution, int count) {
  Random random(3, 0);
  double sum = 0;
  for (int i = 0; i < count; ++i) sum += static_cast<double>(distribution.Draw(random));
  return sum / count;
}

TEST(DistributionTest, ANumberIsAlwaysItself) {
  const auto five = ParseDistribution("5", 1, 9);
  ASSERT_TRUE(five.ok());
  Random random(1, 0);
  EXPECT_EQ(five->Draw(random), 5);
  EXPECT_EQ(five->most, 5);
}

TEST(DistributionTest, ARangeGivesEachOfItsNumbersAlike) {
  const auto range = ParseDistribution("3-6", 1, 9);
  ASSERT_TRUE(range.ok());
  Random random(1, 0);
  std::array<int, 10> seen = {};
  for (int i = 0; i < 4000; ++i) ++seen.at(static_cast<size_t>(range->Draw(random)));
  for (size_t value = 0; value < seen.size(); ++value) {
    EXPECT_NEAR(seen.at(value), value >= 3 && value <= 6 ? 1000 : 0, 100) << value;
  }
}

TEST(DistributionTest, AnExponentialOneHasItsMeanAndAnEnd) {
  const auto exponential = ParseDistribution("exp:200", 1, 100000);
  ASSERT_TRUE(exponential.ok());
  EXPECT_NEAR(MeanOf(*exponential, 20000), 200, 6);
  EXPECT_EQ(exponential->most, 2000);
}

TEST(DistributionTest, WhatItCannotBeIsSaid) {
  for (const char* text : {"", "x", "0", "10", "3-", "-3", "6-3", "3-10", "exp:", "exp:0", "1.5"}) {
    EXPECT_THAT(
        ParseDistribution(text, 1, 9).status().ToString(),
        HasSubstr("must be a whole number N, a range A-B with A <= B, or exp:MEAN, in [1, 9]"))
        << text;
  }
}

TEST(DistributionTest, IsDescribedAsItWasGiven) {
  for (const char* text : {"5", "3-6", "exp:7"}) {
    EXPECT_EQ(Describe(*ParseDistribution(text, 1, 9)), text);
  }
}

Workload Mixed() {
  Workload workload;
  workload.prompt_tokens = *ParseDistribution("1-50", 1, 100);
  workload.reply_tokens = *ParseDistribution("2-50", 1, 100);
  workload.think_ms = *ParseDistribution("exp:100", 0, 10000);
  workload.history_tokens = Constant(1000);
  workload.long_share = 0.25;
  workload.slow_share = 0.1;
  workload.cancel_share = 0.2;
  workload.drop_share = 0.3;
  return workload;
}

TEST(SessionScriptTest, IsTheSameForTheSameSeedAndSession) {
  const Workload workload = Mixed();
  SessionScript one(workload, 5);
  SessionScript same(workload, 5);
  SessionScript other(workload, 6);
  bool differs = false;
  for (int i = 0; i < 20; ++i) {
    const TurnPlan turn = one.NextTurn();
    const TurnPlan twin = same.NextTurn();
    EXPECT_EQ(turn.think, twin.think);
    EXPECT_EQ(turn.prompt_tokens, twin.prompt_tokens);
    EXPECT_EQ(turn.prompt_place, twin.prompt_place);
    EXPECT_EQ(turn.reply_tokens, twin.reply_tokens);
    EXPECT_EQ(turn.seed, twin.seed);
    EXPECT_EQ(turn.cancel_after, twin.cancel_after);
    EXPECT_EQ(turn.drop_after, twin.drop_after);
    differs |= turn.prompt_place != other.NextTurn().prompt_place;
  }
  EXPECT_TRUE(differs);
}

TEST(SessionScriptTest, TheSharesAreMet) {
  const Workload workload = Mixed();
  int with_history = 0, slow = 0, cancelled = 0, dropped = 0;
  for (int i = 0; i < 4000; ++i) {
    SessionScript script(workload, i);
    with_history += script.history_tokens() == 1000;
    slow += script.reads_slowly();
    const TurnPlan turn = script.NextTurn();
    cancelled += turn.cancel_after.has_value();
    dropped += turn.drop_after.has_value();
    const int64_t after = turn.cancel_after.value_or(turn.drop_after.value_or(1));
    EXPECT_GE(after, 1);
    EXPECT_LT(after, turn.reply_tokens);
  }
  EXPECT_NEAR(with_history, 1000, 100);
  EXPECT_NEAR(slow, 400, 70);
  EXPECT_NEAR(cancelled, 800, 100);
  EXPECT_NEAR(dropped, 1200, 110);
}

TEST(SessionScriptTest, AReplyOfOneTokenIsNotBent) {
  Workload workload;
  workload.reply_tokens = Constant(1);
  workload.cancel_share = 1;
  EXPECT_EQ(SessionScript(workload, 0).NextTurn().cancel_after, std::nullopt);
}

TEST(ArrivalScheduleTest, ArrivalsAreAPoissonProcess) {
  Workload workload;
  workload.rate = 10;
  ArrivalSchedule schedule(workload);
  constexpr int kArrivals = 20000;
  double last = 0, squares = 0;
  for (int i = 0; i < kArrivals; ++i) {
    const double at = absl::ToDoubleSeconds(schedule.Next());
    EXPECT_GE(at, last);
    squares += (at - last) * (at - last);
    last = at;
  }
  // Of exponential gaps the standard deviation is the mean.
  const double mean = last / kArrivals;
  EXPECT_NEAR(mean, 0.1, 0.003);
  EXPECT_NEAR(std::sqrt(squares / kArrivals - mean * mean) / mean, 1, 0.03);
}

TEST(ArrivalScheduleTest, TheRateRisesDuringTheRamp) {
  Workload workload;
  workload.rate = 100;
  workload.ramp = absl::Seconds(40);
  ArrivalSchedule schedule(workload);
  int first_half = 0, second_half = 0, after = 0;
  while (true) {
    const double at = absl::ToDoubleSeconds(schedule.Next());
    if (at >= 80) break;
    (at < 20 ? first_half : at < 40 ? second_half : after) += 1;
  }
  // Areas under the rate: a triangle, three of them, and forty seconds at full rate.
  EXPECT_NEAR(first_half, 500, 70);
  EXPECT_NEAR(second_half, 1500, 120);
  EXPECT_NEAR(after, 4000, 200);
}

TEST(StartInRampTest, SessionsOfAClosedLoopBeginOneByOne) {
  Workload workload;
  workload.sessions = 4;
  workload.ramp = absl::Seconds(8);
  EXPECT_EQ(StartInRamp(workload, 0), absl::ZeroDuration());
  EXPECT_EQ(StartInRamp(workload, 3), absl::Seconds(6));
}

}  // namespace
}  // namespace sinkstream::loadgen
