// A load of a real server, in real time.
#include "client/loadgen/load_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <thread>

#include "client/loadgen/clock.h"
#include "tests/client/loadgen/chatting_server.h"

namespace sinkstream::loadgen {
namespace {

class LoadRunTest : public testing::Test {
 protected:
  LoadRunTest() {
    traffic_.text = {1, 2, 3};
    traffic_.workload.sessions = 5;
    traffic_.workload.turns = 3;
    traffic_.workload.reply_tokens = Constant(10);
  }

  absl::Status Run(const LoadRun::ProgressFunction& on_progress = [](const LoadRun&) {}) {
    const auto stub = server_.NewStub();
    LoadRun run(clock_, ConnectTo(*stub), traffic_, *measurement_, patience_);
    return run.Run(on_progress);
  }

  SteadyClock clock_;
  ChattingServer server_;
  Traffic traffic_;
  std::unique_ptr<Measurement> measurement_ = std::make_unique<Measurement>(Objective());
  LoadRun::Patience patience_;
};

TEST_F(LoadRunTest, EachSessionHasItsTurnsBehindItsWarmupAndCloses) {
  ASSERT_EQ(Run(), absl::OkStatus());
  const auto seen = server_.seen();
  EXPECT_EQ(seen.opens, 5);
  EXPECT_EQ(seen.turns, 5 * (1 + 3));
  EXPECT_EQ(seen.closes, 5);
  EXPECT_EQ(seen.most_sessions, 5);
  EXPECT_EQ(measurement_->finished_turns(), 5 * 3);
  EXPECT_EQ(measurement_->tokens(), 5 * 3 * 10);
  EXPECT_EQ(measurement_->ttft().count(), 5 * 3);
  EXPECT_EQ(measurement_->itl().count(), 5 * 3 * 9);
  EXPECT_EQ(measurement_->errors(), 0);
}

TEST_F(LoadRunTest, ATimedRunEndsByTheClock) {
  traffic_.workload.duration = absl::Milliseconds(50);
  ASSERT_EQ(Run(), absl::OkStatus());
  EXPECT_LE(server_.seen().most_sessions, 5);
  EXPECT_EQ(measurement_->errors(), 0);
  EXPECT_DOUBLE_EQ(measurement_->Seconds(absl::InfiniteFuture()), 0.05);
}

TEST_F(LoadRunTest, CancelsDropsAndSlowReadersReachTheServer) {
  traffic_.workload.turns = 20;
  traffic_.workload.cancel_share = 0.3;
  traffic_.workload.drop_share = 0.3;
  traffic_.workload.slow_share = 0.3;
  traffic_.workload.read_delay = absl::Milliseconds(1);
  traffic_.workload.history_tokens = Constant(10);
  ASSERT_EQ(Run(), absl::OkStatus());
  const auto seen = server_.seen();
  EXPECT_GT(seen.cancels, 5);
  EXPECT_GT(seen.reopens, 5);
  EXPECT_EQ(seen.appended, 5 * 10);
  EXPECT_EQ(seen.closes, 5);
  EXPECT_EQ(measurement_->finished_turns() + measurement_->bent_turns(), 5 * 20);
  EXPECT_EQ(measurement_->errors(), 0);
}

TEST_F(LoadRunTest, ASlowReaderThatDropsIsAttachedAgainWithoutDelay) {
  traffic_.workload.warmup_turns = 0;
  traffic_.workload.turns = 1;
  traffic_.workload.reply_tokens = Constant(2);  // dropped after the first
  traffic_.workload.drop_share = 1;
  traffic_.workload.slow_share = 1;
  traffic_.workload.read_delay = absl::Seconds(5);
  ASSERT_EQ(Run(), absl::OkStatus());
  EXPECT_EQ(measurement_->reattach().count(), 5);
  EXPECT_LT(measurement_->reattach().Max(), 5000);
}

TEST_F(LoadRunTest, AStreamThatTheServerEndsUnaskedIsAnErrorAndTheOthersGoOn) {
  server_.HangUpAt(7);
  ASSERT_EQ(Run(), absl::OkStatus());
  EXPECT_EQ(measurement_->errors(), 1);
  EXPECT_EQ(measurement_->errors_by_code().at(absl::StatusCode::kAborted).count, 1);
  EXPECT_GE(measurement_->finished_turns(), 4 * 3);
}

TEST_F(LoadRunTest, AServerThatGoesAwayEndsIt) {
  server_.BreakAfter(12);
  const absl::Status status = Run();
  EXPECT_EQ(status, absl::UnavailableError("shutting down"));
  EXPECT_GE(measurement_->finished_turns(), 1);
  EXPECT_EQ(measurement_->errors_by_code().at(absl::StatusCode::kUnavailable).count, 1);
}

TEST_F(LoadRunTest, RefusedSessionsAreErrorsAndTheOthersGoOn) {
  server_.Hold(3);
  const auto stub = server_.NewStub();
  LoadRun run(clock_, ConnectTo(*stub), traffic_, *measurement_, patience_);
  ASSERT_EQ(run.Run([](const LoadRun&) {}), absl::OkStatus());
  EXPECT_EQ(run.Done(measurement_->end()), 1);
  EXPECT_EQ(measurement_->errors_by_code().at(absl::StatusCode::kResourceExhausted).count, 2);
  EXPECT_EQ(measurement_->finished_turns(), 3 * 3);
}

TEST_F(LoadRunTest, AnInterruptKeepsWhatWasMeasured) {
  server_.FallSilentAfter(12);
  const auto stub = server_.NewStub();
  LoadRun run(clock_, ConnectTo(*stub), traffic_, *measurement_, patience_);
  std::thread interrupting([&] {
    while (server_.seen().turns < 13) std::this_thread::yield();
    run.Interrupt();
  });
  EXPECT_EQ(run.Run([](const LoadRun&) {}), absl::CancelledError("interrupted"));
  interrupting.join();
  EXPECT_GE(measurement_->finished_turns(), 1);
  EXPECT_EQ(measurement_->errors(), 0);
}

TEST_F(LoadRunTest, TheSameSeedSaysTheSame) {
  traffic_.workload.sessions = 1;
  traffic_.workload.prompt_tokens = *ParseDistribution("1-9", 1, 9);
  ASSERT_EQ(Run(), absl::OkStatus());
  measurement_ = std::make_unique<Measurement>(Objective());
  ASSERT_EQ(Run(), absl::OkStatus());
  const auto seen = server_.seen();
  ASSERT_EQ(seen.said.size(), 8u);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(seen.said[i].SerializeAsString(), seen.said[i + 4].SerializeAsString());
  }
}

}  // namespace
}  // namespace sinkstream::loadgen
