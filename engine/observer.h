// EngineObserver: what the engine tells whoever watches it (metrics, logs). Called on the engine
// thread; must not block. Every method has an empty default, so that an observer takes only what it
// wants.
#pragma once

#include <cstdint>
#include <string>

#include "absl/time/time.h"
#include "engine/types.h"

namespace sinkstream {

struct StepStats {
  int32_t decode_rows = 0;  // guessed tokens among them
  int32_t prefill_rows = 0;
  int32_t sequences = 0;
  // Speculation (engine/speculation.h): tokens fed as guesses, and those that were right.
  int32_t guessed_tokens = 0;
  int32_t accepted_guesses = 0;
  int64_t evicted_tokens = 0;
  absl::Duration plan, model, sample;  // sample: sampling, detokenizing and emitting
};

struct PoolStats {
  int32_t sessions = 0;
  int32_t attached_sessions = 0;
  int32_t running_requests = 0;
  int32_t waiting_requests = 0;
  int32_t blocks_used = 0;
  int32_t blocks_total = 0;
  int64_t kv_bytes_reserved = 0;
  int32_t parked_sessions = 0;  // their caches are outside memory
};

// kLost: its parked cache could not be read back.
enum class CloseReason { kClient, kIdle, kStreamEnd, kShutdown, kLost };

class EngineObserver {
 public:
  virtual ~EngineObserver() = default;
  // The loop has woken: commands are at hand, or a step is due. OnPool ends the round.
  virtual void OnRoundBegun() {}
  virtual void OnStep(const StepStats&) {}
  virtual void OnPool(const PoolStats&) {}  // at the start, and after each round of the loop
  virtual void OnSessionOpened(bool /*resumed*/) {}
  virtual void OnSessionClosed(CloseReason, absl::Duration /*lifetime*/) {}
  virtual void OnRejected(const std::string& /*reason*/) {}  // ErrorReason() of the refusal
  virtual void OnTurnDone(const TurnDone&) {}
  virtual void OnRequestFailed(const absl::Status&) {}
  virtual void OnParkFailed(const absl::Status&) {}  // no session is parked for a while
  virtual void OnDraining() {}  // what was asked before StartDraining has been taken up
  virtual void OnPaused() {}    // a running session's outbox has filled up
};

}  // namespace sinkstream
