// ThreadPool: splits loops over a fixed number of threads. Own instead of OpenMP, whose threads
// spin without bound and on a busy machine made two threads 20 to 300 times slower than one
// (docs/adr/0005-own-kernels-and-thread-pool.md).
//
// Each thread, the caller among them, has a run of neighbouring pieces and takes them in order, so
// that what it reads is one stream of memory; one that has done its own takes the last of others':
// a worker that the system has put aside costs its own piece at most. Idle workers spin for some
// tens of microseconds, then sleep.
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
  static constexpr int64_t kMostPieces = 0xffff;

 private:
  // The pieces of a thread's run that nobody has claimed yet: the loop's number, then the first and
  // the end of them, of 32, 16 and 16 bits. Alone in its line of cache.
  struct alignas(64) Run {
    std::atomic<uint64_t> pieces{0};
  };

  explicit ThreadPool(int threads) : runs_(static_cast<size_t>(threads)) {}
  static std::thread StartSystemThread(std::function<void()> work);
  void Work(size_t thread);
  // Runs pieces of the loop at hand while there are any, the thread's own, then others', and
  // reports them.
  void RunPieces(size_t thread);
  // Claims the first piece of a run, or the last, and runs it. False if there is none.
  bool RunPiece(Run& run, bool first);
  void AwaitLoopAfter(uint32_t seen);

  // The loop at hand. Written by the caller while no piece is to be had, read by workers before
  // they claim one: a claim succeeds only if the loop is still the one they read.
  std::atomic<const Body*> body_{nullptr};
  std::atomic<int64_t> count_{0};
  std::atomic<int64_t> grain_{1};
  std::vector<Run> runs_;  // one a thread, the caller's first
  std::atomic<uint32_t> loop_{0};
  std::atomic<uint32_t> pieces_left_{0};  // not yet reported as finished
  std::atomic<bool> stopping_{false};
  std::vector<std::thread> workers_;
};

// The pool of the operators; one thread at a time runs these. Default: AvailableProcessors()
// threads (machine_limits.h), or the caller alone where the system refuses them.
ThreadPool& OperatorPool();
// Replaces the pool. Not while an operator runs. RESOURCE_EXHAUSTED as ThreadPool::Create; the pool
// is then as it was.
absl::Status SetOperatorThreads(int threads);

}  // namespace sinkstream
