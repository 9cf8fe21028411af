#include "engine/outbox.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>

namespace sinkstream {
namespace {

Delta Text(const std::string& text) {
  Delta delta;
  delta.text = text;
  return delta;
}

TEST(OutboxTest, WakesTheStreamOnceUntilItHasFoundNothing) {
  int woken = 0;
  Outbox outbox(4, [&] { ++woken; });
  outbox.Push(Text("a"));
  outbox.Push(Text("b"));
  EXPECT_EQ(woken, 1);
  EXPECT_EQ(outbox.TakeAll().events.size(), 2);
  outbox.Push(Text("c"));
  EXPECT_EQ(woken, 1);  // the stream is still at work and will look again
  EXPECT_EQ(outbox.TakeAll().events.size(), 1);
  EXPECT_TRUE(outbox.TakeAll().events.empty());
  outbox.Push(Text("d"));
  EXPECT_EQ(woken, 2);
}

TEST(OutboxTest, WhatIsPushedAheadIsTakenWithWhatFollows) {
  int woken = 0;
  Outbox outbox(4, [&] { ++woken; });
  outbox.PushAhead(Text("a"));
  EXPECT_EQ(woken, 0);
  outbox.Push(Text("b"));
  EXPECT_EQ(woken, 1);
  EXPECT_EQ(outbox.TakeAll().events.size(), 2);
}

TEST(OutboxTest, TellsTheEngineWhenAFullOneHasRoomAgain) {
  int room = 0;
  Outbox outbox(2, [] {});
  outbox.SetOnRoom([&] { ++room; });
  outbox.Push(Text("a"));
  EXPECT_TRUE(outbox.HasRoom());
  outbox.TakeAll();
  EXPECT_EQ(room, 0);
  outbox.Push(Text("a"));
  outbox.Push(Text("b"));
  EXPECT_FALSE(outbox.HasRoom());
  outbox.TakeAll();
  EXPECT_EQ(room, 1);
  EXPECT_TRUE(outbox.HasRoom());
}

TEST(OutboxTest, TheEndComesAfterWhatWasPushedBefore) {
  int woken = 0;
  Outbox outbox(2, [&] { ++woken; });
  outbox.Push(Text("a"));
  outbox.Close(absl::AbortedError("taken over"));
  outbox.Push(Text("too late"));
  outbox.Close(absl::OkStatus());
  const auto batch = outbox.TakeAll();
  EXPECT_EQ(batch.events.size(), 1);
  EXPECT_EQ(batch.closed->code(), absl::StatusCode::kAborted);
  EXPECT_EQ(woken, 1);
}

TEST(OutboxTest, ADetachedOneDropsEverythingAndWakesNobody) {
  int woken = 0;
  Outbox outbox(1, [&] { ++woken; });
  outbox.Detach();
  outbox.Push(Text("a"));
  outbox.Close(absl::OkStatus());
  EXPECT_EQ(woken, 0);
  EXPECT_TRUE(outbox.HasRoom());
  EXPECT_TRUE(outbox.TakeAll().events.empty());
}

TEST(OutboxTest, ManyBytesOfScoresFillItToo) {
  int rooms = 0;
  Outbox outbox(8, [] {});
  outbox.SetOnRoom([&] { ++rooms; });
  Scores scores;
  scores.distributions.assign(1, std::vector<float>(Outbox::kManyBytes / sizeof(float) / 2));
  outbox.Push(scores);
  EXPECT_TRUE(outbox.HasRoom());
  outbox.Push(scores);
  EXPECT_FALSE(outbox.HasRoom());
  EXPECT_EQ(outbox.TakeAll().events.size(), 2);
  EXPECT_EQ(rooms, 1);
  EXPECT_TRUE(outbox.HasRoom());
}

// The stream's end of the hand-over on a thread of its own: everything arrives in order, and
// nothing is called after Detach has returned (ThreadSanitizer watches `alive`).
TEST(OutboxTest, HandsOverBetweenThreads) {
  constexpr int kEvents = 20000;
  std::atomic<int> ready{0};
  auto alive = std::make_unique<int>(0);
  Outbox outbox(8, [&] {
    ++*alive;
    ++ready;
    ready.notify_one();
  });
  std::thread engine([&] {
    for (int i = 0; i < kEvents;) {
      if (!outbox.HasRoom()) {
        std::this_thread::yield();
        continue;
      }
      outbox.Push(PrefillProgress{0, i++, kEvents});
    }
    outbox.Close(absl::OkStatus());
    for (int i = 0; i < 100; ++i) outbox.Push(Text("late"));
  });
  int64_t next = 0;
  int seen = 0;
  for (bool open = true; open;) {
    ready.wait(seen);
    seen = ready;
    for (auto batch = outbox.TakeAll(); !batch.events.empty() || batch.closed;
         batch = outbox.TakeAll()) {
      for (const auto& event : batch.events) {
        ASSERT_EQ(std::get<PrefillProgress>(event).done, next++);
      }
      if (batch.closed) {
        open = false;
        break;
      }
    }
  }
  outbox.Detach();
  alive.reset();
  engine.join();
  EXPECT_EQ(next, kEvents);
}

}  // namespace
}  // namespace sinkstream
