#include "server/readiness.h"

#include <gtest/gtest.h>

#include <string>

#include "server/observers.h"
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
  readiness_.OnPool({});
  EXPECT_EQ(readiness_.Current(), State::kReady);
}

TEST_F(ReadinessTest, AnEngineThatWaitsForWorkIsNotStuck) {
  readiness_.Started();
  readiness_.OnRoundBegun();
  readiness_.OnPool({});
  clock_.Advance(absl::Hours(24));
  EXPECT_EQ(readiness_.Current(), State::kReady);
}

TEST_F(ReadinessTest, ManyShortRoundsAreNotOneLongOne) {
  readiness_.Started();
  for (int round = 0; round < 3; ++round) {
    readiness_.OnRoundBegun();
    clock_.Advance(absl::Seconds(50));
    EXPECT_EQ(readiness_.Current(), State::kReady);
    readiness_.OnPool({});
  }
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
  EXPECT_EQ(Name(State::kDraining), "draining");
}

// Tells what it was told.
class Recorder final : public EngineObserver {
 public:
  explicit Recorder(std::string& log) : log_(log) {}
  void OnRoundBegun() override { log_ += "round "; }
  void OnStep(const StepStats& stats) override { log_ += "step" + Text(stats.decode_rows); }
  void OnPool(const PoolStats& stats) override { log_ += "pool" + Text(stats.sessions); }
  void OnSessionOpened(bool resumed) override { log_ += "opened" + Text(resumed); }
  void OnSessionClosed(CloseReason, absl::Duration lifetime) override {
    log_ += "closed" + Text(absl::ToInt64Seconds(lifetime));
  }
  void OnRejected(const std::string& reason) override { log_ += reason + " "; }
  void OnTurnDone(const TurnDone& done) override { log_ += "done" + Text(done.request_id); }
  void OnRequestFailed(const absl::Status&) override { log_ += "failed "; }
  void OnParkFailed(const absl::Status&) override { log_ += "park "; }
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
  StepStats step;
  step.decode_rows = 3;
  TurnDone done;
  done.request_id = 7;
  observers.OnStep(step);
  observers.OnPool({.sessions = 2});
  observers.OnSessionOpened(true);
  observers.OnSessionClosed(CloseReason::kIdle, absl::Seconds(9));
  observers.OnRejected("FULL");
  observers.OnTurnDone(done);
  observers.OnRequestFailed(absl::CancelledError());
  observers.OnParkFailed(absl::CancelledError());
  observers.OnDraining();
  observers.OnPaused();
  EXPECT_EQ(first, "round step3 pool2 opened1 closed9 FULL done7 failed park draining paused ");
  EXPECT_EQ(second, first);
}

}  // namespace
}  // namespace sinkstream
