#include "server/process/ticker.h"

#include <gtest/gtest.h>

#include "engine/sync.h"

namespace sinkstream {
namespace {

TEST(Ticker, CallsAgainAndAgain) {
  Mutex mutex;
  CondVar changed;
  int ticks = 0;
  const Ticker ticker(absl::Milliseconds(1), [&] {
    MutexLock lock(mutex);
    ++ticks;
    changed.NotifyAll();
  });
  MutexLock lock(mutex);
  while (ticks < 3) changed.Wait(mutex);
}

TEST(Ticker, EndsWithoutWaitingForItsNextCall) {
  int ticks = 0;
  {
    const Ticker ticker(absl::Hours(1), [&] { ++ticks; });
  }
  EXPECT_EQ(ticks, 0);
}

}  // namespace
}  // namespace sinkstream
