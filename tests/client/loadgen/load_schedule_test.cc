// When a load does what, in simulated time.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "client/loadgen/console.h"
#include "client/loadgen/event_loop.h"
#include "client/loadgen/load_run.h"
#include "tests/client/loadgen/simulation.h"
#include "tests/client/narrow_terminal.h"

namespace sinkstream::loadgen {
namespace {

using testing::ElementsAre;

class LoadScheduleTest : public testing::Test {
 protected:
  LoadScheduleTest() {
    traffic_.text = {1, 2, 3};
    traffic_.workload.sessions = 5;
    traffic_.workload.turns = 1;
    traffic_.workload.reply_tokens = Constant(10);
    traffic_.workload.duration = absl::Milliseconds(300);
  }

  absl::Status Run(const LoadRun::ProgressFunction& on_progress = [](const LoadRun&) {}) {
    LoadRun run(clock_, server_.Connector(), traffic_, measurement_, patience_);
    return run.Run(on_progress);
  }
  absl::Duration Elapsed() const { return clock_.Now() - absl::UnixEpoch(); }
  int Arrivals() const {
    ArrivalSchedule schedule(traffic_.workload);
    int arrivals = 0;
    while (schedule.Next() < traffic_.workload.duration) ++arrivals;
    return arrivals;
  }

  SimulatedClock clock_;
  SimulatedServer server_{clock_};
  Traffic traffic_;
  Measurement measurement_{Objective()};
  LoadRun::Patience patience_;
};

TEST_F(LoadScheduleTest, SessionsOfATimedClosedLoopAreReplaced) {
  ASSERT_EQ(Run(), absl::OkStatus());
  EXPECT_EQ(server_.opens, 5 * 30);  // of 10 ms each
  EXPECT_EQ(server_.closes, 5 * 30);
  EXPECT_EQ(measurement_.finished_turns(), 5 * 30);
  EXPECT_EQ(measurement_.errors(), 0);
  EXPECT_DOUBLE_EQ(measurement_.Seconds(absl::InfiniteFuture()), 0.3);
  EXPECT_NEAR(measurement_.ttft().Max(), 8, 0.1);
  EXPECT_EQ(measurement_.lag().Max(), 0);
}

TEST_F(LoadScheduleTest, AWarmupIsNotMeasured) {
  traffic_.workload.warmup = absl::Milliseconds(100);
  ASSERT_EQ(Run(), absl::OkStatus());
  EXPECT_EQ(server_.opens, 5 * 40);
  EXPECT_EQ(measurement_.finished_turns(), 5 * 30);
}

TEST_F(LoadScheduleTest, TheSessionsOfARampBeginOneByOne) {
  traffic_.workload.ramp = absl::Milliseconds(1000);
  traffic_.workload.duration = absl::ZeroDuration();
  ASSERT_EQ(Run(), absl::OkStatus());
  EXPECT_THAT(server_.opened_at,
              ElementsAre(absl::ZeroDuration(), absl::Milliseconds(200), absl::Milliseconds(400),
                          absl::Milliseconds(600), absl::Milliseconds(800)));
}

TEST_F(LoadScheduleTest, WhoThinksBeyondTheEndOfATimedClosedLoopIsNotReplaced) {
  traffic_.workload.turns = 3;
  traffic_.workload.think_ms = Constant(10'000);
  ASSERT_EQ(Run(), absl::OkStatus());
  EXPECT_EQ(server_.opens, 5);
  EXPECT_EQ(server_.closes, 5);
  EXPECT_EQ(Elapsed(), absl::Milliseconds(300));
}

TEST_F(LoadScheduleTest, ASessionWhoseLastTurnFailedIsReplacedAfterAPause) {
  server_.fails = true;
  traffic_.workload.sessions = 1;
  traffic_.workload.duration = absl::Milliseconds(2500);
  ASSERT_EQ(Run(), absl::OkStatus());
  EXPECT_THAT(server_.opened_at, ElementsAre(absl::ZeroDuration(), absl::Milliseconds(1010),
                                             absl::Milliseconds(2020)));
}

TEST_F(LoadScheduleTest, ATimedRunLastsUntilItsEndThoughNobodyIsLeft) {
  traffic_.workload.rate = 10;
  traffic_.workload.duration = absl::Milliseconds(500);
  ASSERT_EQ(Run(), absl::OkStatus());
  EXPECT_GT(Arrivals(), 0);
  EXPECT_EQ(measurement_.finished_turns(), Arrivals());
  EXPECT_DOUBLE_EQ(measurement_.Seconds(absl::InfiniteFuture()), 0.5);
  EXPECT_GE(Elapsed(), absl::Milliseconds(500));
}

TEST_F(LoadScheduleTest, SessionsOfAnOpenLoopArriveWhateverTheServerDoes) {
  server_.silent = true;
  patience_.turns = absl::Milliseconds(100);
  traffic_.workload.rate = 100;
  ASSERT_EQ(Run(), absl::OkStatus());
  EXPECT_GT(Arrivals(), 10);
  EXPECT_EQ(server_.opens, Arrivals());
  EXPECT_EQ(measurement_.finished_turns(), 0);
  // Not one that waited is left out.
  EXPECT_EQ(measurement_.errors_by_code().at(absl::StatusCode::kDeadlineExceeded).count,
            Arrivals());
  EXPECT_EQ(Elapsed(), absl::Milliseconds(400));
}

TEST_F(LoadScheduleTest, AnInterruptDoesNotWaitForSlowReaders) {
  traffic_.workload.slow_share = 1;
  traffic_.workload.read_delay = absl::Minutes(5);
  traffic_.workload.duration = absl::Hours(1);
  LoadRun run(clock_, server_.Connector(), traffic_, measurement_, patience_);
  EXPECT_EQ(run.Run([&](const LoadRun&) {
    if (Elapsed() >= absl::Minutes(1)) run.Interrupt();
  }),
            absl::CancelledError("interrupted"));
  EXPECT_EQ(Elapsed(), absl::Minutes(1) + patience_.halt);
}

TEST_F(LoadScheduleTest, ProgressIsToldEveryQuarterOfASecond) {
  traffic_.workload.duration = absl::Seconds(1);
  std::vector<double> done;
  ASSERT_EQ(Run([&](const LoadRun& run) { done.push_back(run.Done(clock_.Now())); }),
            absl::OkStatus());
  ASSERT_GE(done.size(), 4u);
  done.resize(4);
  EXPECT_THAT(done, ElementsAre(0, 0.25, 0.5, 0.75));
}

TEST(EventLoopTest, TimersRunInTheOrderOfTheirTimesThenOfTheirMaking) {
  SimulatedClock clock;
  EventLoop loop(clock);
  std::string trace;
  const absl::Time start = clock.Now();
  loop.At(start + absl::Hours(2), [&] { loop.Stop(); });
  loop.At(start + absl::Hours(1), [&] { trace += "b"; });
  loop.At(start + absl::Hours(1), [&] { trace += "c"; });
  loop.At(start, [&] { trace += "a"; });
  loop.Post([&] { trace += "-"; });
  loop.Run();
  EXPECT_EQ(trace, "-abc");
  EXPECT_EQ(clock.Now(), start + absl::Hours(2));
}

TEST(LiveScreenTest, IsDrawnAnewNowAndThen) {
  SimulatedClock clock;
  EventLoop loop(clock);
  FILE* const file = std::tmpfile();
  std::vector<bool> due;
  {
    LiveScreen terminal(clock, file, /*terminal=*/true);
    LiveScreen lines(clock, file, /*terminal=*/false);
    const auto look = [&] { due.insert(due.end(), {terminal.Due(), lines.Due()}); };
    look();
    terminal.Show("one\ntwo\n");
    for (const absl::Duration at : {absl::Milliseconds(199), absl::Milliseconds(200),
                                    absl::Milliseconds(9999), absl::Milliseconds(10000)}) {
      loop.At(absl::UnixEpoch() + at, look);
    }
    loop.At(absl::UnixEpoch() + absl::Seconds(11), [&] { loop.Stop(); });
    loop.Run();
  }
  std::fclose(file);
  EXPECT_THAT(due, ElementsAre(true, false, false, false, true, false, true, false, true, true));
}

TEST(LiveScreenTest, LinesAreCutToTheTerminalsWidth) {
  SimulatedClock clock;
  const NarrowTerminal terminal(10);
  LiveScreen screen(clock, terminal.out(), /*terminal=*/true);
  screen.Show("0123456789\n0123456789a\n\u00e4123456789\u00e4\n");
  EXPECT_EQ(terminal.Drawn(), "0123456789\n0123456789\n\u00e4123456789\n");
  screen.Show("\n");
  EXPECT_EQ(terminal.Drawn(), "\x1b[3A\x1b[J\n");
}

}  // namespace
}  // namespace sinkstream::loadgen
