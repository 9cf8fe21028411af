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
#include <thread>
#include <vector>

#include "absl/functional/function_ref.h"

namespace sinkstream {

class ThreadPool {
 public:
  using Body = absl::FunctionRef<void(int64_t begin, int64_t end)>;

  // `threads` counts the caller; at least 1.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls `body` for pieces of at most `grain` (>= 1) that cover [0, count), concurrently, and
  // returns when all are done. `body` must not throw. One thread at a time may call this; not from
  // within a body.
  void ParallelFor(int64_t count, int64_t grain, Body body);

 private:
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

// The pool of the operators. Default: as many threads as the process may use processors.
ThreadPool& OperatorPool();
// Replaces the pool. Not while an operator runs.
void SetOperatorThreads(int threads);

}  // namespace sinkstream
