// Readiness: whether this server should be sent clients, and if not, why. The one truth behind
// grpc.health.v1 and whatever else says "ready". It watches the engine's loop as an observer.
//
//   kStarting -> kReady <-> kStuck ; kReady|kStuck -> kDeaf -> kDraining ; kReady|kStuck ->
//   kDraining
//
// kStuck is left as soon as the loop goes on, kDeaf only to drain.
#pragma once

#include <atomic>
#include <cstdint>
#include <string_view>

#include "absl/time/time.h"
#include "engine/clock.h"
#include "engine/observer.h"

namespace sinkstream {

class Readiness final : public EngineObserver {
 public:
  enum class State { kStarting, kReady, kStuck, kDeaf, kDraining };

  // A round of the engine's loop, the model step in it, that takes longer than `stuck_step_limit`
  // is stuck. `clock` outlives this.
  Readiness(const Clock& clock, absl::Duration stuck_step_limit);

  // Any thread. The model is warm and the port open: kReady.
  void Started();
  // Any thread. The port accepts no connection any more, for good.
  void LosePort();
  // Any thread. For good.
  void StartDraining();
  // Any thread; takes no lock.
  State Current() const;
  // Any thread; takes no lock. How long the round at hand has taken; zero: the loop waits.
  absl::Duration RoundInFlight() const;
  absl::Duration StuckStepLimit() const { return absl::Nanoseconds(limit_); }

  // Engine thread; neither takes a lock.
  void OnRoundBegun() override;
  void OnRoundEnded() override;

 private:
  static constexpr int64_t kIdle = 0;

  int64_t Nanoseconds() const { return absl::ToUnixNanos(clock_.Now()); }

  const Clock& clock_;
  const int64_t limit_;  // nanoseconds
  std::atomic<bool> started_{false};
  std::atomic<bool> deaf_{false};
  std::atomic<bool> draining_{false};
  std::atomic<int64_t> round_begun_{kIdle};  // clock's nanoseconds of the round in flight
};

// "ready", "starting", "stuck", "deaf", "draining".
std::string_view Name(Readiness::State state);

}  // namespace sinkstream
