#include "engine/torch/ops/thread_pool.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/torch/machine_limits.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace sinkstream {
namespace {

constexpr auto kSpin = std::chrono::microseconds(40);
constexpr uint64_t kPieceMask = 0xffffffffu;

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
  std::unique_ptr<ThreadPool> pool(new ThreadPool());
  try {
    pool->workers_.reserve(static_cast<size_t>(threads - 1));
    for (int i = 1; i < threads; ++i) {
      pool->workers_.push_back(start([self = pool.get()] { self->Work(); }));
    }
  } catch (const std::exception& error) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "the system refuses thread ", pool->threads() + 1, " of ", threads, ": ", error.what()));
  }
  return pool;
}

ThreadPool::~ThreadPool() {
  stopping_.store(true);
  ticket_.fetch_add(uint64_t{1} << 32);
  ticket_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::ParallelFor(int64_t count, int64_t grain, Body body) noexcept {
  if (count <= grain || workers_.empty()) {
    if (count > 0) body(0, count);
    return;
  }
  grain = std::max(grain, (count + kMostPieces - 1) / kMostPieces);
  const auto pieces = static_cast<uint32_t>((count + grain - 1) / grain);
  body_.store(&body, std::memory_order_relaxed);
  count_.store(count, std::memory_order_relaxed);
  grain_.store(grain, std::memory_order_relaxed);
  pieces_left_.store(pieces, std::memory_order_relaxed);
  const uint64_t loop = (ticket_.load(std::memory_order_relaxed) >> 32) + 1;
  ticket_.store(loop << 32 | pieces);
  ticket_.notify_all();
  RunPieces();
  if (Spin([this] { return pieces_left_.load(std::memory_order_acquire) == 0; })) return;
  for (uint32_t left; (left = pieces_left_.load(std::memory_order_acquire)) != 0;) {
    pieces_left_.wait(left);
  }
}

bool ThreadPool::RunPieces() {
  bool ran = false;
  uint64_t ticket = ticket_.load(std::memory_order_acquire);
  while ((ticket & kPieceMask) != 0) {
    const Body* body = body_.load(std::memory_order_relaxed);
    const int64_t count = count_.load(std::memory_order_relaxed);
    const int64_t grain = grain_.load(std::memory_order_relaxed);
    if (!ticket_.compare_exchange_weak(ticket, ticket - 1, std::memory_order_acq_rel)) continue;
    const int64_t pieces = (count + grain - 1) / grain;
    const int64_t begin = (pieces - static_cast<int64_t>(ticket & kPieceMask)) * grain;
    (*body)(begin, std::min(begin + grain, count));
    if (pieces_left_.fetch_sub(1, std::memory_order_acq_rel) == 1) pieces_left_.notify_one();
    ran = true;
    ticket = ticket_.load(std::memory_order_acquire);
  }
  return ran;
}

void ThreadPool::AwaitChange(uint64_t seen) {
  if (Spin([&] { return ticket_.load(std::memory_order_relaxed) != seen; })) return;
  ticket_.wait(seen);
}

void ThreadPool::Work() {
  while (!stopping_.load()) {
    if (RunPieces()) continue;
    const uint64_t seen = ticket_.load();
    if ((seen & kPieceMask) == 0 && !stopping_.load()) AwaitChange(seen);
  }
}

ThreadPool& OperatorPool() {
  if (PoolSlot() == nullptr) {
    if (!SetOperatorThreads(AvailableProcessors()).ok()) SetOperatorThreads(1).IgnoreError();
  }
  return *PoolSlot();
}

absl::Status SetOperatorThreads(int threads) {
  absl::StatusOr<std::unique_ptr<ThreadPool>> pool = ThreadPool::Create(std::max(threads, 1));
  if (!pool.ok()) return pool.status();
  PoolSlot() = *std::move(pool);
  return absl::OkStatus();
}

}  // namespace sinkstream
