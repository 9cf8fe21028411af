// EngineObserver: what the engine tells whoever watches it (metrics, logs). Called on the engine
// thread; must not block. Every method has an empty default, so that an observer takes only what it
// wants. What a method is given by reference is gone when it returns.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "engine/errors.h"
#include "engine/types.h"

namespace sinkstream {

struct StepStats {
  bool failed = false;      // the model gave an error: every request of the step has failed
  int32_t decode_rows = 0;  // guessed tokens among them
  int32_t prefill_rows = 0;
  int32_t sequences = 0;
  // Speculation (engine/session/speculation.h): tokens fed as guesses, and those that were right.
  int32_t guessed_tokens = 0;
  int32_t accepted_guesses = 0;
  int32_t sampled_tokens = 0;
  int32_t scored_tokens = 0;
  int32_t nonfinite_rows = 0;  // of logits; their requests have failed
  int64_t evicted_tokens = 0;
  // Blocks that windows have moved past, as their positions say, and those that went back to the
  // pool for it: the same, or windows do not slide.
  int64_t evicted_blocks = 0;
  int64_t freed_blocks = 0;
  // sample: sampling, detokenizing and scoring; emit: moving sessions on, and their events.
  absl::Duration plan, model, sample, emit;
  // Of one row of a step now and then: Model::PinnedAttention(), and the negative log-likelihood of
  // its token (nats) as the model gave it.
  std::optional<double> pinned_attention;
  std::optional<double> negative_log_likelihood;
};

struct PoolStats {
  int32_t sessions = 0;
  int32_t attached_sessions = 0;
  int32_t running_requests = 0;
  int32_t paused_requests = 0;  // of these, those that wait for readers that are behind
  int32_t waiting_requests = 0;
  int32_t blocks_used = 0;
  int32_t recent_blocks = 0;    // of these, those of recent tokens; the others hold pinned ones
  int32_t blocks_reserved = 0;  // for open sessions
  int32_t blocks_total = 0;
  int64_t block_bytes = 0;
  int64_t kv_bytes_reserved = 0;
  int64_t kv_tokens = 0;        // that sessions in memory see
  int32_t parked_sessions = 0;  // their caches are outside memory
  int64_t parked_bytes = 0;
  int64_t distribution_bytes = 0;  // told, and not yet read
};

// A stream has been attached to a session.
struct SessionStart {
  const SessionId& id;
  bool resumed = false;
  bool has_prefix = false;    // new, with a system prompt that may be shared
  int64_t shared_tokens = 0;  // of that, which it did not have to read
};

// kLost: its parked cache could not be read back.
enum class CloseReason { kClient, kIdle, kStreamEnd, kShutdown, kLost };
// In their order.
inline constexpr std::array kCloseReasons = {CloseReason::kClient, CloseReason::kIdle,
                                             CloseReason::kStreamEnd, CloseReason::kShutdown,
                                             CloseReason::kLost};

struct SessionEnd {
  const SessionId& id;
  CloseReason reason = CloseReason::kClient;
  absl::Duration lifetime;
  int64_t tokens = 0;  // that it has read
};

// A turn or an append that was taken up has ended.
struct RequestEnd {
  const SessionId& session_id;
  const std::string& principal;
  const std::optional<TraceContext>& trace;  // of the stream that asked for it
  uint64_t request_id = 0;
  bool replies = false;                // a turn
  std::optional<FinishReason> reason;  // of a turn that has not failed
  absl::Status status;                 // CANCELLED: an append that its client cancelled
  Usage usage;
  Timings timings;
};

enum class ParkOperation { kSave, kLoad };
inline constexpr std::array kAllParkOperations = {ParkOperation::kSave, ParkOperation::kLoad};

// A cache has been saved or loaded, or could not be.
struct ParkEnd {
  ParkOperation operation = ParkOperation::kSave;
  absl::Status status;
  int64_t bytes = 0;
  absl::Duration time;  // since it was asked for
};

class EngineObserver {
 public:
  virtual ~EngineObserver() = default;
  // The loop has woken: commands are at hand, or a step is due.
  virtual void OnRoundBegun() {}
  virtual void OnRoundEnded() {}
  virtual void OnStep(const StepStats&) {}
  virtual void OnPool(const PoolStats&) {}  // before a round ends, and before OnDraining
  virtual void OnSessionStart(const SessionStart&) {}
  // A session that has fed nothing yet stands behind its system prompt, of so many tokens, which
  // another has read since it started.
  virtual void OnPrefixJoined(int64_t /*tokens*/) {}
  virtual void OnSessionEnd(const SessionEnd&) {}
  virtual void OnRejected(Refusal) {}
  virtual void OnRequestEnd(const RequestEnd&) {}
  virtual void OnRequestFailed(const absl::Status&) {}  // of one told so, taken up or not
  virtual void OnParkEnd(const ParkEnd&) {}  // a save that failed: no session is parked for a while
  virtual void OnDraining() {}  // what was asked before StartDraining has been taken up
  virtual void OnPaused() {}    // a running session's outbox has filled up
};

}  // namespace sinkstream
