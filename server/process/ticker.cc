#include "server/process/ticker.h"

#include <chrono>
#include <utility>

namespace sinkstream {

Ticker::Ticker(absl::Duration interval, std::function<void()> tick)
    : interval_(interval), tick_(std::move(tick)), thread_([this] { Run(); }) {}

Ticker::~Ticker() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.NotifyAll();
  thread_.join();
}

void Ticker::Run() {
  while (AwaitTick()) tick_();
}

bool Ticker::AwaitTick() {
  const auto due = std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(interval_);
  MutexLock lock(mutex_);
  while (!stopping_ && std::chrono::steady_clock::now() < due) changed_.WaitUntil(mutex_, due);
  return !stopping_;
}

}  // namespace sinkstream
