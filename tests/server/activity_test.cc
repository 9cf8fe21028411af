#include "server/activity.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <memory>
#include <string>
#include <thread>

namespace sinkstream {
namespace {

using std::chrono::steady_clock;

PoolStats Requests(int running, int waiting) {
  PoolStats stats;
  stats.running_requests = running;
  stats.waiting_requests = waiting;
  return stats;
}

TEST(EngineActivity, IsDrainedOnceTheEngineDrainsAndNothingRuns) {
  EngineActivity activity(stderr);
  activity.OnDraining();
  EXPECT_TRUE(activity.WaitUntilDrained(steady_clock::now()));
}

TEST(EngineActivity, IsNotDrainedWhileATurnMayLieInFrontOfTheDrain) {
  EngineActivity activity(stderr);
  activity.OnPool(Requests(0, 0));
  EXPECT_FALSE(activity.WaitUntilDrained(steady_clock::now()));
}

TEST(EngineActivity, IsNotDrainedAtTheDeadlineWhileARequestRunsOrWaits) {
  EngineActivity activity(stderr);
  activity.OnDraining();
  activity.OnPool(Requests(1, 0));
  EXPECT_FALSE(activity.WaitUntilDrained(steady_clock::now()));
  activity.OnPool(Requests(0, 1));
  EXPECT_FALSE(activity.WaitUntilDrained(steady_clock::now()));
}

TEST(EngineActivity, WakesWhoeverWaitsWhenTheLastRequestIsDone) {
  EngineActivity activity(stderr);
  activity.OnDraining();
  activity.OnPool(Requests(1, 1));
  std::thread engine([&] {
    activity.OnPool(Requests(1, 0));
    activity.OnPool(Requests(0, 0));
  });
  EXPECT_TRUE(activity.WaitUntilDrained(steady_clock::now() + std::chrono::hours(1)));
  engine.join();
}

TEST(EngineActivity, WakesWhoeverWaitsWhenAnIdleEngineDrains) {
  EngineActivity activity(stderr);
  std::thread engine([&] { activity.OnDraining(); });
  EXPECT_TRUE(activity.WaitUntilDrained(steady_clock::now() + std::chrono::hours(1)));
  engine.join();
}

TEST(EngineActivity, TellsThePoolAsItWasLastTold) {
  EngineActivity activity(stderr);
  PoolStats stats;
  stats.sessions = 3;
  activity.OnPool(stats);
  stats.sessions = 2;
  stats.kv_bytes_reserved = 4096;
  activity.OnPool(stats);
  EXPECT_EQ(activity.Pool().sessions, 2);
  EXPECT_EQ(activity.Pool().kv_bytes_reserved, 4096);
}

TEST(EngineActivity, AHurryEndsTheWait) {
  EngineActivity activity(stderr);
  activity.OnPool(Requests(1, 0));
  std::thread signals([&] { activity.Hurry(); });
  EXPECT_FALSE(activity.WaitUntilDrained(steady_clock::now() + std::chrono::hours(1)));
  signals.join();
}

TEST(EngineActivity, LogsWhatClientsAreNotTold) {
  char text[200] = {};
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> log(fmemopen(text, sizeof(text), "w"), fclose);
  EngineActivity activity(log.get());
  activity.OnRequestFailed(absl::InvalidArgumentError("the client's fault"));
  activity.OnRequestFailed(absl::InternalError("the kernel broke"));
  activity.Log(absl::CancelledError("the client is gone"));
  activity.Log(absl::UnknownError("nobody knows"));
  activity.OnParkFailed(absl::ResourceExhaustedError("no space left"));
  std::fflush(log.get());
  EXPECT_EQ(std::string(text),
            "sinkstream-server: error: INTERNAL: the kernel broke\n"
            "sinkstream-server: error: UNKNOWN: nobody knows\n"
            "sinkstream-server: error: RESOURCE_EXHAUSTED: no space left\n");
}

}  // namespace
}  // namespace sinkstream
