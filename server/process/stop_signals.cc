#include "server/process/stop_signals.h"

#include <pthread.h>
#include <unistd.h>

#include <utility>

namespace sinkstream {

StopSignals::StopSignals(std::function<void(int)> on_signal) : on_signal_(std::move(on_signal)) {
  sigemptyset(&signals_);
  sigaddset(&signals_, SIGINT);
  sigaddset(&signals_, SIGTERM);
  if (isatty(STDIN_FILENO) == 1) {
    sigaddset(&signals_, SIGHUP);
  } else {
    signal(SIGHUP, SIG_IGN);
  }
  pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
  thread_ = std::thread([this] { Run(); });
}

StopSignals::~StopSignals() {
  stopping_ = true;
  // NOLINTNEXTLINE(bugprone-bad-signal-to-kill-thread): its sigwait takes it
  pthread_kill(thread_.native_handle(), SIGTERM);
  thread_.join();
}

void StopSignals::Run() {
  for (int count = 1;; ++count) {
    int signal = 0;
    sigwait(&signals_, &signal);
    if (stopping_) return;
    on_signal_(count);
  }
}

}  // namespace sinkstream
