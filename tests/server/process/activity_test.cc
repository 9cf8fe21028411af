#include "server/process/activity.h"

#include <gtest/gtest.h>

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
  EngineActivity activity;
  activity.OnDraining();
  EXPECT_TRUE(activity.WaitUntilDrained(steady_clock::now()));
}

TEST(EngineActivity, IsNotDrainedWhileATurnMayLieInFrontOfTheDrain) {
  EngineActivity activity;
  activity.OnPool(Requests(0, 0));
  EXPECT_FALSE(activity.WaitUntilDrained(steady_clock::now()));
}

TEST(EngineActivity, IsNotDrainedAtTheDeadlineWhileARequestRunsOrWaits) {
  EngineActivity activity;
  activity.OnDraining();
  activity.OnPool(Requests(1, 0));
  EXPECT_FALSE(activity.WaitUntilDrained(steady_clock::now()));
  activity.OnPool(Requests(0, 1));
  EXPECT_FALSE(activity.WaitUntilDrained(steady_clock::now()));
}

TEST(EngineActivity, WakesWhoeverWaitsWhenTheLastRequestIsDone) {
  EngineActivity activity;
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
  EngineActivity activity;
  std::thread engine([&] { activity.OnDraining(); });
  EXPECT_TRUE(activity.WaitUntilDrained(steady_clock::now() + std::chrono::hours(1)));
  engine.join();
}

TEST(EngineActivity, WaitsForTheLastStreamOrUntilTheDeadline) {
  EngineActivity activity;
  EXPECT_TRUE(activity.WaitUntilStreamsEnd(steady_clock::now())) << "there was none";
  activity.OnStreams(2);
  EXPECT_FALSE(activity.WaitUntilStreamsEnd(steady_clock::now()));
  std::thread streams([&] {
    activity.OnStreams(1);
    activity.OnStreams(0);
  });
  EXPECT_TRUE(activity.WaitUntilStreamsEnd(steady_clock::now() + std::chrono::hours(1)));
  streams.join();
  activity.OnStreams(1);
  activity.Hurry();
  EXPECT_FALSE(activity.WaitUntilStreamsEnd(steady_clock::now() + std::chrono::hours(1)));
}

TEST(EngineActivity, TellsThePoolAsItWasLastTold) {
  EngineActivity activity;
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
  EngineActivity activity;
  activity.OnPool(Requests(1, 0));
  std::thread signals([&] { activity.Hurry(); });
  EXPECT_FALSE(activity.WaitUntilDrained(steady_clock::now() + std::chrono::hours(1)));
  signals.join();
}

}  // namespace
}  // namespace sinkstream
