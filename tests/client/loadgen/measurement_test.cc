#include "client/loadgen/measurement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace sinkstream::loadgen {
namespace {

using testing::ElementsAre;
using testing::Pair;

absl::Time Moment(double milliseconds) {
  return absl::UnixEpoch() + absl::Milliseconds(milliseconds);
}

FinishedTurn TurnOf(double due, double first_token, double done, int64_t tokens) {
  return {Moment(due), Moment(first_token), Moment(done), absl::Milliseconds(3), tokens, {}};
}

TEST(MeasurementTest, ATurnIsTimedFromWhenItWasDue) {
  Measurement measurement({});
  measurement.Open(Moment(0));
  measurement.FirstToken(Moment(100), Moment(340));
  measurement.TurnFinished(TurnOf(100, 340, 1100, 50));
  EXPECT_NEAR(measurement.ttft().Max(), 240, 0.1);
  EXPECT_NEAR(measurement.turn().Max(), 1000, 0.1);
  EXPECT_NEAR(measurement.queue().Max(), 3, 0.1);
  EXPECT_NEAR(measurement.turn_rate().Max(), 50, 0.1);
}

TEST(MeasurementTest, CountsTurnsThatWereDueInTheWindowHoweverLateTheyEnd) {
  Measurement measurement({});
  measurement.FirstToken(Moment(900), Moment(950));  // before there is a window
  measurement.Open(Moment(1000), Moment(2000));
  measurement.FirstToken(Moment(999), Moment(1500));
  measurement.TurnFinished(TurnOf(999, 1500, 1600, 1));
  measurement.FirstToken(Moment(1999), Moment(9000));
  measurement.TurnFinished(TurnOf(1999, 9000, 9999, 1));
  measurement.TurnFinished(TurnOf(2000, 2001, 2002, 1));
  EXPECT_EQ(measurement.ttft().count(), 1);
  EXPECT_NEAR(measurement.ttft().Max(), 7001, 1);
  EXPECT_EQ(measurement.finished_turns(), 1);
}

TEST(MeasurementTest, ThroughputIsOfTheTokensThatArriveInTheWindow) {
  Measurement measurement({});
  measurement.Open(Moment(1000), Moment(3000));
  measurement.TokensArrived(Moment(999), 100);
  measurement.TokensArrived(Moment(1000), 7);
  measurement.TokensArrived(Moment(2999), 3);
  measurement.TokensArrived(Moment(3000), 100);
  EXPECT_DOUBLE_EQ(measurement.TokensPerSecond(Moment(9000)), 5);
  EXPECT_DOUBLE_EQ(measurement.TokensPerSecond(Moment(1500)), 20);
  EXPECT_TRUE(std::isnan(measurement.TokensPerSecond(Moment(500))));
}

TEST(MeasurementTest, TokensThatComeTogetherShareTheirGap) {
  Measurement measurement({.ttft = {}, .itl = absl::Milliseconds(15)});
  measurement.Open(Moment(0));
  GapCount gaps;
  measurement.Gap(Moment(1), absl::Milliseconds(40), 4, gaps);
  measurement.Gap(Moment(1), absl::Milliseconds(20), 1, gaps);
  EXPECT_EQ(measurement.itl().count(), 5);
  EXPECT_NEAR(measurement.itl().Percentile(50), 10, 0.1);
  EXPECT_EQ(gaps.all, 5);
  EXPECT_EQ(gaps.over_objective, 1);
}

TEST(MeasurementTest, AGoodTurnKeepsTheObjectiveInItsFirstTokenAndNearlyAllGaps) {
  Measurement measurement({.ttft = absl::Milliseconds(50), .itl = absl::Milliseconds(10)});
  measurement.Open(Moment(0), Moment(1000));
  FinishedTurn turn = TurnOf(0, 50, 500, 101);
  turn.gaps = {.all = 100, .over_objective = 1};
  measurement.TurnFinished(turn);
  EXPECT_EQ(measurement.good_turns(), 1);
  turn.gaps.over_objective = 2;
  measurement.TurnFinished(turn);
  turn = TurnOf(0, 51, 500, 101);
  measurement.TurnFinished(turn);
  measurement.Failed(Moment(0), absl::InternalError("a fault"));
  measurement.TurnBent(Moment(0));
  EXPECT_EQ(measurement.good_turns(), 1);
  EXPECT_EQ(measurement.good_tokens_in_window(), 101);
  EXPECT_EQ(measurement.judged_turns(), 4);
  EXPECT_EQ(measurement.bent_turns(), 1);
}

TEST(MeasurementTest, ErrorsAlwaysCountByCode) {
  Measurement measurement({});
  measurement.Failed(Moment(0), absl::InternalError("a fault"));
  measurement.Open(Moment(1000));
  measurement.Failed(Moment(1), absl::ResourceExhaustedError("full"));
  measurement.Failed(Moment(1001), absl::ResourceExhaustedError("full"));
  EXPECT_EQ(measurement.errors(), 3);
  EXPECT_THAT(
      measurement.errors_by_code(),
      ElementsAre(Pair(absl::StatusCode::kResourceExhausted, Measurement::Errors{2, "full"}),
                  Pair(absl::StatusCode::kInternal, Measurement::Errors{1, "a fault"})));
  EXPECT_EQ(measurement.judged_turns(), 1);
}

TEST(MeasurementTest, OfEachCodeTheFirstMessageIsKept) {
  Measurement measurement({});
  measurement.Failed(Moment(0), absl::ResourceExhaustedError("full"));
  measurement.Failed(Moment(1), absl::ResourceExhaustedError("still full"));
  EXPECT_EQ(measurement.errors_by_code().at(absl::StatusCode::kResourceExhausted).first_message,
            "full");
}

TEST(MeasurementTest, AnEarlierEndStays) {
  Measurement measurement({});
  measurement.Open(Moment(0), Moment(1000));
  measurement.CloseAt(Moment(400));
  measurement.CloseAt(Moment(700));
  EXPECT_DOUBLE_EQ(measurement.Seconds(Moment(2000)), 0.4);
}

}  // namespace
}  // namespace sinkstream::loadgen
