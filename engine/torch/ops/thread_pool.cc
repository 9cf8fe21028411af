#include "engine/torch/ops/thread_pool.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/torch/machine_limits.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace sinkstream {
namespace {

constexpr auto kSpin = std::chrono::microseconds(40);
constexpr uint64_t kPieceMask = 0xffff;
constexpr int kFirstShift = 16, kLoopShift = 32;

void Pause() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Spins until `done` or for kSpin at most.
template <typename Done>
bool Spin(Done done) {
  const auto deadline = std::chrono::steady_clock::now() + kSpin;
  do {
    for (int i = 0; i < 32; ++i) {
      if (done()) return true;
      Pause();
    }
  } while (std::chrono::steady_clock::now() < deadline);
  return done();
}

std::unique_ptr<ThreadPool>& PoolSlot() {
  static auto* const pool = new std::unique_ptr<ThreadPool>();
  return *pool;
}

}  // namespace

std::thread ThreadPool::StartSystemThread(std::function<void()> work) {
  return std::thread(std::move(work));
}

absl::StatusOr<std::unique_ptr<ThreadPool>> ThreadPool::Create(int threads, StartThread start) {
  std::unique_ptr<ThreadPool> pool(new ThreadPool(threads));
  try {
    pool->workers_.reserve(static_cast<size_t>(threads - 1));
    for (size_t i = 1; i < pool->runs_.size(); ++i) {
      pool->workers_.push_back(start([self = pool.get(), i] { self->Work(i); }));
    }
  } catch (const std::exception& error) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "the system refuses thread ", pool->threads() + 1, " of ", threads, ": ", error.what()));
  }
  return pool;
}

ThreadPool::~ThreadPool() {
  stopping_.store(true);
  loop_.fetch_add(1);
  loop_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::ParallelFor(int64_t count, int64_t grain, Body body) noexcept {
  if (count <= grain || workers_.empty()) {
    if (count > 0) body(0, count);
    return;
  }
  grain = std::max(grain, (count + kMostPieces - 1) / kMostPieces);
  const auto pieces = static_cast<uint64_t>((count + grain - 1) / grain);
  body_.store(&body, std::memory_order_relaxed);
  count_.store(count, std::memory_order_relaxed);
  grain_.store(grain, std::memory_order_relaxed);
  pieces_left_.store(static_cast<uint32_t>(pieces), std::memory_order_relaxed);
  const uint32_t loop = loop_.load(std::memory_order_relaxed) + 1;
  for (size_t i = 0; i < runs_.size(); ++i) {
    const uint64_t first = pieces * i / runs_.size(), end = pieces * (i + 1) / runs_.size();
    runs_[i].pieces.store(uint64_t{loop} << kLoopShift | first << kFirstShift | end,
                          std::memory_order_release);
  }
  loop_.store(loop);
  loop_.notify_all();
  RunPieces(0);
  if (Spin([this] { return pieces_left_.load(std::memory_order_acquire) == 0; })) return;
  for (uint32_t left; (left = pieces_left_.load(std::memory_order_acquire)) != 0;) {
    pieces_left_.wait(left);
  }
}

bool ThreadPool::RunPiece(Run& run, bool first) {
  uint64_t pieces = run.pieces.load(std::memory_order_acquire);
  for (;;) {
    const uint64_t begin = pieces >> kFirstShift & kPieceMask, end = pieces & kPieceMask;
    if (begin == end) return false;
    const Body* body = body_.load(std::memory_order_relaxed);
    const int64_t count = count_.load(std::memory_order_relaxed);
    const int64_t grain = grain_.load(std::memory_order_relaxed);
    const uint64_t rest = first ? pieces + (uint64_t{1} << kFirstShift) : pieces - 1;
    if (!run.pieces.compare_exchange_weak(pieces, rest, std::memory_order_acq_rel)) continue;
    const int64_t start = static_cast<int64_t>(first ? begin : end - 1) * grain;
    (*body)(start, std::min(start + grain, count));
    return true;
  }
}

void ThreadPool::RunPieces(size_t thread) {
  uint32_t done = 0;
  while (RunPiece(runs_[thread], true)) ++done;
  for (size_t i = 1; i < runs_.size(); ++i) {
    while (RunPiece(runs_[(thread + i) % runs_.size()], false)) ++done;
  }
  // A loop ends when its last piece is reported, so all of these are of one loop.
  if (done == 0) return;
  if (pieces_left_.fetch_sub(done, std::memory_order_acq_rel) == done) pieces_left_.notify_one();
}

void ThreadPool::AwaitLoopAfter(uint32_t seen) {
  if (Spin([&] { return loop_.load(std::memory_order_relaxed) != seen; })) return;
  loop_.wait(seen);
}

void ThreadPool::Work(size_t thread) {
  uint32_t seen = 0;
  while (!stopping_.load()) {
    AwaitLoopAfter(seen);
    seen = loop_.load();
    RunPieces(thread);
  }
}

ThreadPool& OperatorPool() {
  static std::once_flag made;
  std::call_once(made, [] {
    if (PoolSlot() != nullptr) return;
    if (!SetOperatorThreads(AvailableProcessors()).ok()) SetOperatorThreads(1).IgnoreError();
  });
  return *PoolSlot();
}

absl::Status SetOperatorThreads(int threads) {
  absl::StatusOr<std::unique_ptr<ThreadPool>> pool = ThreadPool::Create(std::max(threads, 1));
  if (!pool.ok()) return pool.status();
  PoolSlot() = *std::move(pool);
  return absl::OkStatus();
}

}  // namespace sinkstream
