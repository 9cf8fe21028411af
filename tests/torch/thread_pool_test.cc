#include "engine/torch/ops/thread_pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <latch>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

namespace sinkstream {
namespace {

using ::testing::Each;
using ::testing::SizeIs;

// How often each index of [0, count) was given to the body.
std::vector<int> Visits(ThreadPool& pool, int64_t count, int64_t grain) {
  std::vector<int> visits(static_cast<size_t>(count));
  pool.ParallelFor(count, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) ++visits[i];
  });
  return visits;
}

TEST(ThreadPool, CoversEachIndexOnceWhateverTheSplit) {
  for (const int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.threads(), threads);
    for (const int64_t count : {1, 2, 7, 64, 1000}) {
      for (const int64_t grain : {1, 3, 64, 5000}) {
        EXPECT_THAT(Visits(pool, count, grain), Each(1)) << threads << " " << count << " " << grain;
      }
    }
  }
}

TEST(ThreadPool, GivesPiecesNoLargerThanTheGrain) {
  ThreadPool pool(3);
  std::atomic<int64_t> largest{0};
  pool.ParallelFor(100, 7, [&](int64_t begin, int64_t end) {
    int64_t seen = largest.load();
    while (seen < end - begin && !largest.compare_exchange_weak(seen, end - begin)) {
    }
  });
  EXPECT_EQ(largest.load(), 7);
}

TEST(ThreadPool, CallsNothingForAnEmptyLoop) {
  ThreadPool pool(2);
  pool.ParallelFor(0, 1, [](int64_t, int64_t) { FAIL(); });
}

TEST(ThreadPool, UsesAllItsThreadsAtOnce) {
  ThreadPool pool(4);
  std::latch all_here(4);  // passes only if four pieces run at the same time
  std::mutex mutex;
  std::set<std::thread::id> threads;
  pool.ParallelFor(4, 1, [&](int64_t, int64_t) {
    all_here.arrive_and_wait();
    const std::lock_guard<std::mutex> lock(mutex);
    threads.insert(std::this_thread::get_id());
  });
  EXPECT_THAT(threads, SizeIs(4));
}

TEST(ThreadPool, KeepsLoopsInARowApart) {
  ThreadPool pool(4);
  for (int loop = 0; loop < 20000; ++loop) {
    std::atomic<int64_t> sum{0};
    const int64_t count = 2 + loop % 9;
    pool.ParallelFor(count, 1, [&](int64_t begin, int64_t) { sum += begin + loop; });
    ASSERT_EQ(sum.load(), count * (count - 1) / 2 + count * loop);
  }
}

TEST(ThreadPool, EndsWhetherItsWorkersSpinOrSleep) {
  for (int i = 0; i < 200; ++i) {
    ThreadPool pool(4);
    if (i % 2 == 0) Visits(pool, 16, 1);
  }
}

}  // namespace
}  // namespace sinkstream
