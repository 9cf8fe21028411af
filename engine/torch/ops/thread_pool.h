// ThreadPool: splits loops over a fixed number of threads. Own instead of OpenMP, whose threads
// spin without bound and on a busy machine made two threads 20 to 300 times slower than one
// (docs/adr/0005-own-kernels-and-thread-pool.md).
//
// Pieces are taken as threads become free, and the caller takes part: a worker that the system has
// put aside costs its own piece at most. Idle workers spin for some tens of microseconds, then
// sleep.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace sinkstream {

class ThreadPool {
 public:
  using Body = absl::FunctionRef<void(int64_t begin, int64_t end)>;

  // Starts a thread that runs `work`; throws what std::thread's constructor throws.
  using StartThread = std::thread (*)(std::function<void()> work);

  // `threads` counts the caller; at least 1. RESOURCE_EXHAUSTED, in one line, if the system refuses
  // one of them; those that were started have ended then.
  static absl::StatusOr<std::unique_ptr<ThreadPool>> Create(int threads,
                                                            StartThread start = &StartSystemThread);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls `body` for pieces that cover [0, count), concurrently, and returns when all are done. A
  // piece is of `grain` (>= 1) at most; larger where there would be more than kMostPieces, and all
  // of [0, count) where the caller is alone. An exception of `body`, want of memory too, ends the
  // process. One thread at a time may call this; not from within a body.
  void ParallelFor(int64_t count, int64_t grain, Body body) noexcept;
  static constexpr int64_t kMostPieces = int64_t{1} << 20;

 private:
  ThreadPool() = default;
  static std::thread StartSystemThread(std::function<void()> work);
  void Work();
  // Runs pieces of the loop at hand while there are any. True if it ran one.
  bool RunPieces();
  void AwaitChange(uint64_t seen);

  // The loop at hand. Written by the caller while no piece is to be had, read by workers before
  // they claim one: a claim succeeds only if the loop is still the one they read.
  std::atomic<const Body*> body_{nullptr};
  std::atomic<int64_t> count_{0};
  std::atomic<int64_t> grain_{1};
  // Number of the loop in the upper half, pieces not yet claimed in the lower half.
  std::atomic<uint64_t> ticket_{0};
  std::atomic<uint32_t> pieces_left_{0};  // not yet finished
  std::atomic<bool> stopping_{false};
  std::vector<std::thread> workers_;
};

// The pool of the operators. Default: AvailableProcessors() threads (machine_limits.h), or the
// caller alone where the system refuses them.
ThreadPool& OperatorPool();
// Replaces the pool. Not while an operator runs. RESOURCE_EXHAUSTED as ThreadPool::Create; the pool
// is then as it was.
absl::Status SetOperatorThreads(int threads);

}  // namespace sinkstream
