#include "server/process/readiness.h"

namespace sinkstream {

Readiness::Readiness(const Clock& clock, absl::Duration stuck_step_limit)
    : clock_(clock), limit_(absl::ToInt64Nanoseconds(stuck_step_limit)) {}

void Readiness::Started() { started_ = true; }

void Readiness::LosePort() { deaf_ = true; }

void Readiness::StartDraining() { draining_ = true; }

Readiness::State Readiness::Current() const {
  if (draining_) return State::kDraining;
  if (!started_) return State::kStarting;
  if (deaf_) return State::kDeaf;
  const int64_t begun = round_begun_.load(std::memory_order_relaxed);
  return begun != kIdle && Nanoseconds() - begun > limit_ ? State::kStuck : State::kReady;
}

absl::Duration Readiness::RoundInFlight() const {
  const int64_t begun = round_begun_.load(std::memory_order_relaxed);
  return begun == kIdle ? absl::ZeroDuration() : absl::Nanoseconds(Nanoseconds() - begun);
}

void Readiness::OnRoundBegun() { round_begun_.store(Nanoseconds(), std::memory_order_relaxed); }

void Readiness::OnRoundEnded() { round_begun_.store(kIdle, std::memory_order_relaxed); }

std::string_view Name(Readiness::State state) {
  switch (state) {
    case Readiness::State::kStarting:
      return "starting";
    case Readiness::State::kReady:
      return "ready";
    case Readiness::State::kStuck:
      return "stuck";
    case Readiness::State::kDeaf:
      return "deaf";
    case Readiness::State::kDraining:
      return "draining";
  }
  return "";
}

}  // namespace sinkstream
