#include "server/process/readiness.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "server/telemetry/observers.h"
#include "tests/fakes/fake_clock.h"

namespace sinkstream {
namespace {

using State = Readiness::State;

class ReadinessTest : public testing::Test {
 protected:
  FakeClock clock_;
  Readiness readiness_{clock_, absl::Seconds(60)};
};

TEST_F(ReadinessTest, IsStartingUntilTheServerIsThere) {
  EXPECT_EQ(readiness_.Current(), State::kStarting);
  readiness_.Started();
  EXPECT_EQ(readiness_.Current(), State::kReady);
}

TEST_F(ReadinessTest, IsStuckWhileARoundTakesLongerThanTheLimit) {
  readiness_.Started();
  readiness_.OnRoundBegun();
  clock_.Advance(absl::Seconds(60));
  EXPECT_EQ(readiness_.Current(), State::kReady);
  clock_.Advance(absl::Nanoseconds(1));
  EXPECT_EQ(readiness_.Current(), State::kStuck);
  readiness_.OnRoundEnded();
  EXPECT_EQ(readiness_.Current(), State::kReady);
}

TEST_F(ReadinessTest, AnEngineThatWaitsForWorkIsNotStuck) {
  readiness_.Started();
  readiness_.OnRoundBegun();
  readiness_.OnRoundEnded();
  clock_.Advance(absl::Hours(24));
  EXPECT_EQ(readiness_.Current(), State::kReady);
}

// As it is when a drain begins in the round.
TEST_F(ReadinessTest, WhatIsToldInARoundDoesNotEndIt) {
  readiness_.Started();
  readiness_.OnRoundBegun();
  clock_.Advance(absl::Seconds(5));
  readiness_.OnPool({});
  readiness_.OnDraining();
  EXPECT_EQ(readiness_.RoundInFlight(), absl::Seconds(5));
}

TEST_F(ReadinessTest, ManyShortRoundsAreNotOneLongOne) {
  readiness_.Started();
  for (int round = 0; round < 3; ++round) {
    readiness_.OnRoundBegun();
    clock_.Advance(absl::Seconds(50));
    EXPECT_EQ(readiness_.Current(), State::kReady);
    readiness_.OnRoundEnded();
  }
}

TEST_F(ReadinessTest, ALostPortIsForGoodButForADrain) {
  readiness_.Started();
  readiness_.LosePort();
  readiness_.OnRoundBegun();
  clock_.Advance(absl::Seconds(61));
  EXPECT_EQ(readiness_.Current(), State::kDeaf);
  readiness_.OnRoundEnded();
  EXPECT_EQ(readiness_.Current(), State::kDeaf);
  readiness_.StartDraining();
  EXPECT_EQ(readiness_.Current(), State::kDraining);
}

TEST_F(ReadinessTest, ADrainIsForGood) {
  readiness_.Started();
  readiness_.StartDraining();
  EXPECT_EQ(readiness_.Current(), State::kDraining);
  readiness_.Started();
  EXPECT_EQ(readiness_.Current(), State::kDraining);
}

TEST_F(ReadinessTest, EveryStateHasAName) {
  EXPECT_EQ(Name(State::kStarting), "starting");
  EXPECT_EQ(Name(State::kReady), "ready");
  EXPECT_EQ(Name(State::kStuck), "stuck");
  EXPECT_EQ(Name(State::kDeaf), "deaf");
  EXPECT_EQ(Name(State::kDraining), "draining");
}

// Tells what it was told.
class Recorder final : public EngineObserver {
 public:
  explicit Recorder(std::string& log) : log_(log) {}
  void OnRoundBegun() override { log_ += "round "; }
  void OnRoundEnded() override { log_ += "over "; }
  void OnStep(const StepStats& stats) override { log_ += "step" + Text(stats.decode_rows); }
  void OnPool(const PoolStats& stats) override { log_ += "pool" + Text(stats.sessions); }
  void OnSessionStart(const SessionStart& start) override { log_ += "start " + start.id + " "; }
  void OnPrefixJoined(int64_t tokens) override { log_ += "prefix" + Text(tokens); }
  void OnSessionEnd(const SessionEnd& end) override { log_ += "end" + Text(end.tokens); }
  void OnRejected(Refusal refusal) override { log_ += Name(refusal) + std::string(" "); }
  void OnRequestEnd(const RequestEnd& end) override { log_ += "done" + Text(end.request_id); }
  void OnRequestFailed(const absl::Status&) override { log_ += "failed "; }
  void OnParkEnd(const ParkEnd& end) override { log_ += "park" + Text(end.bytes); }
  void OnDraining() override { log_ += "draining "; }
  void OnPaused() override { log_ += "paused "; }

 private:
  template <typename Number>
  static std::string Text(Number number) {
    return std::to_string(number) + " ";
  }
  std::string& log_;
};

TEST(EngineObservers, EachIsToldEverything) {
  std::string first, second;
  Recorder one(first), two(second);
  EngineObservers observers({&one, &two});
  observers.OnRoundBegun();
  observers.OnRoundEnded();
  StepStats step;
  step.decode_rows = 3;
  const SessionId id = "id";
  const std::optional<TraceContext> trace;
  observers.OnStep(step);
  observers.OnPool({.sessions = 2});
  observers.OnSessionStart({.id = id});
  observers.OnPrefixJoined(4);
  observers.OnSessionEnd({.id = id, .lifetime = absl::Seconds(9), .tokens = 9});
  observers.OnRejected(Refusal::kQueueFull);
  observers.OnRequestEnd({.session_id = id,
                          .principal = id,
                          .trace = trace,
                          .request_id = 7,
                          .reason = std::nullopt,
                          .status = absl::OkStatus(),
                          .usage = {},
                          .timings = {}});
  observers.OnRequestFailed(absl::CancelledError());
  observers.OnParkEnd({.status = absl::OkStatus(), .bytes = 5, .time = absl::ZeroDuration()});
  observers.OnDraining();
  observers.OnPaused();
  EXPECT_EQ(first,
            "round over step3 pool2 start id prefix4 end9 QUEUE_FULL done7 failed park5 draining "
            "paused ");
  EXPECT_EQ(second, first);
}

}  // namespace
}  // namespace sinkstream
