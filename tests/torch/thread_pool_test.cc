#include "engine/torch/ops/thread_pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <latch>
#include <mutex>
#include <set>
#include <system_error>
#include <thread>
#include <vector>

namespace sinkstream {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

std::unique_ptr<ThreadPool> Pool(int threads) {
  auto pool = ThreadPool::Create(threads);
  EXPECT_TRUE(pool.ok()) << pool.status();
  return *std::move(pool);
}

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
    const auto pool = Pool(threads);
    EXPECT_EQ(pool->threads(), threads);
    for (const int64_t count : {1, 2, 7, 64, 1000}) {
      for (const int64_t grain : {1, 3, 64, 5000}) {
        EXPECT_THAT(Visits(*pool, count, grain), Each(1))
            << threads << " " << count << " " << grain;
      }
    }
  }
}

TEST(ThreadPool, GivesPiecesNoLargerThanTheGrain) {
  const auto pool = Pool(3);
  std::atomic<int64_t> largest{0};
  pool->ParallelFor(100, 7, [&](int64_t begin, int64_t end) {
    int64_t seen = largest.load();
    while (seen < end - begin && !largest.compare_exchange_weak(seen, end - begin)) {
    }
  });
  EXPECT_EQ(largest.load(), 7);
}

TEST(ThreadPool, GivesOnePieceWhereTheCallerIsAlone) {
  const auto pool = Pool(1);
  int pieces = 0;
  pool->ParallelFor(100, 7, [&](int64_t begin, int64_t end) {
    ++pieces;
    EXPECT_EQ(end - begin, 100);
  });
  EXPECT_EQ(pieces, 1);
}

TEST(ThreadPool, GivesLargerPiecesWhereTheyWouldBeTooMany) {
  const auto pool = Pool(2);
  std::atomic<int64_t> pieces{0}, covered{0};
  const int64_t count = (int64_t{1} << 40) + 3;
  pool->ParallelFor(count, 1, [&](int64_t begin, int64_t end) {
    ++pieces;
    covered += end - begin;
  });
  EXPECT_EQ(covered.load(), count);
  EXPECT_LE(pieces.load(), ThreadPool::kMostPieces);
}

// A system that grants three threads, each of which says when it ends.
std::atomic<int> granted{0}, running{0};
std::thread StartUpToThree(std::function<void()> work) {
  if (++granted > 3) {
    throw std::system_error(std::make_error_code(std::errc::resource_unavailable_try_again));
  }
  ++running;
  return std::thread([work = std::move(work)] {
    work();
    --running;
  });
}

TEST(ThreadPool, WhereAThreadIsRefusedThoseStartedEnd) {
  const auto pool = ThreadPool::Create(8, &StartUpToThree);
  EXPECT_EQ(pool.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(pool.status().message(),
            "the system refuses thread 5 of 8: Resource temporarily unavailable");
  EXPECT_EQ(running.load(), 0);
}

TEST(ThreadPool, CallsNothingForAnEmptyLoop) {
  const auto pool = Pool(2);
  pool->ParallelFor(0, 1, [](int64_t, int64_t) { FAIL(); });
}

TEST(ThreadPool, UsesAllItsThreadsAtOnce) {
  const auto pool = Pool(4);
  std::latch all_here(4);  // passes only if four pieces run at the same time
  std::mutex mutex;
  std::set<std::thread::id> threads;
  pool->ParallelFor(4, 1, [&](int64_t, int64_t) {
    all_here.arrive_and_wait();
    const std::lock_guard<std::mutex> lock(mutex);
    threads.insert(std::this_thread::get_id());
  });
  EXPECT_THAT(threads, SizeIs(4));
}

TEST(ThreadPool, StartsEachThreadOnARunOfItsOwn) {
  const auto pool = Pool(4);
  std::latch all_here(4);
  std::mutex mutex;
  std::set<std::thread::id> threads;
  std::vector<int64_t> firsts;
  pool->ParallelFor(16, 1, [&](int64_t begin, int64_t) {
    std::unique_lock<std::mutex> lock(mutex);
    if (!threads.insert(std::this_thread::get_id()).second) return;
    firsts.push_back(begin);
    lock.unlock();
    all_here.arrive_and_wait();
  });
  EXPECT_THAT(firsts, UnorderedElementsAre(0, 4, 8, 12));
}

TEST(ThreadPool, TakesItsOwnPiecesInOrderThenTheLastOfAThreadThatIsHeldUp) {
  const auto pool = Pool(2);
  const std::thread::id caller = std::this_thread::get_id();
  std::latch both_here(2), others_done(7);
  std::vector<int64_t> taken;
  pool->ParallelFor(8, 1, [&](int64_t begin, int64_t) {
    if (std::this_thread::get_id() != caller) {
      both_here.count_down();
      others_done.wait();
      return;
    }
    if (taken.empty()) both_here.arrive_and_wait();
    taken.push_back(begin);
    others_done.count_down();
  });
  EXPECT_THAT(taken, ElementsAre(0, 1, 2, 3, 7, 6, 5));
}

TEST(ThreadPool, KeepsLoopsInARowApart) {
  const auto pool = Pool(4);
  for (int loop = 0; loop < 20000; ++loop) {
    std::atomic<int64_t> sum{0};
    const int64_t count = 2 + loop % 9;
    pool->ParallelFor(count, 1, [&](int64_t begin, int64_t) { sum += begin + loop; });
    ASSERT_EQ(sum.load(), count * (count - 1) / 2 + count * loop);
  }
}

TEST(ThreadPool, EndsWhetherItsWorkersSpinOrSleep) {
  for (int i = 0; i < 200; ++i) {
    const auto pool = Pool(4);
    if (i % 2 == 0) Visits(*pool, 16, 1);
  }
}

}  // namespace
}  // namespace sinkstream
