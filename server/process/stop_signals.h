// StopSignals: SIGINT and SIGTERM as calls on a thread of their own, where everything is allowed.
// SIGHUP counts as they do where standard input is a terminal, which has gone then. Elsewhere it is
// ignored: files are read again without it.
#pragma once

#include <signal.h>

#include <atomic>
#include <functional>
#include <thread>

namespace sinkstream {

class StopSignals {
 public:
  // Blocks these signals in this thread, and so in every thread it starts from now on: make it
  // before any other. `on_signal`: called for each signal with their number so far, from 1.
  explicit StopSignals(std::function<void(int)> on_signal);
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

 private:
  void Run();

  sigset_t signals_ = {};
  std::function<void(int)> on_signal_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace sinkstream
