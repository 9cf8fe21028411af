// What the engine is made with and what it is asked: plain values, checked by Engine::Create and by
// the engine thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/time/time.h"
#include "engine/inbox.h"
#include "engine/session/speculation.h"
#include "engine/types.h"

namespace sinkstream {

// Every bound of the engine, with its default. Checked by Engine::Create.
struct EngineLimits {
  // Live, attached or not; then RESOURCE_EXHAUSTED, reason MAX_SESSIONS.
  int32_t max_sessions = 256;
  // Of one principal; then RESOURCE_EXHAUSTED, MAX_PRINCIPAL_SESSIONS. 0: as many as there are.
  int32_t max_principal_sessions = 0;
  // Calls waiting for the engine thread, of all streams and of one, and bytes of their texts; then
  // RESOURCE_EXHAUSTED, QUEUE_FULL.
  InboxLimits inbox;
  size_t outbox_capacity = 64;  // events waiting for a slow reader; then its decoding pauses
  // Appends and turns waiting in one session behind the one that runs; then RESOURCE_EXHAUSTED,
  // QUEUE_FULL.
  int32_t max_queued_requests = 8;
  // Text of one turn, append or system prompt; then INVALID_ARGUMENT. The caller of the engine sees
  // to it (server/wire/request.h).
  int64_t max_request_bytes = 256 << 10;
  int32_t max_request_tokens = 131072;  // tokens of the same; then INVALID_ARGUMENT
  int32_t max_tokens = 16384;           // of one reply
  absl::Duration max_idle_timeout = absl::Hours(24);
  int32_t step_tokens = 256;          // rows of one model step, decode and prefill together
  int32_t prefill_chunk = 64;         // prefill rows of one step while any session decodes
  int32_t max_prefills_per_step = 8;  // sessions that prefill in one step
  // Most tokens of a reply guessed ahead and verified in one step, [0, kMaxSpeculativeTokens]; 0:
  // none (engine/session/speculation.h).
  int32_t speculative_tokens = 4;
  int32_t score_rows = 128;  // rows of one step that score: each gives vocab_size logits
  // Distributions of all sessions that nobody has read yet; then requests that ask for them pause.
  int64_t distribution_bytes = int64_t{256} << 20;
};

// Where idle sessions' caches go under pressure for KV memory (docs/adr/0007).
struct ParkOptions {
  std::string directory = "/var/tmp";
  int64_t bytes = 0;  // of all that is there; 0: nothing is parked
};

struct EngineOptions {
  EngineLimits limits;
  SessionSettings defaults;  // for what an OpenRequest leaves out; max_tokens: the limit at most
  ParkOptions park;
  int64_t position_offset = 0;  // StepSequence::rotary_offset of every session: a test aid
};

struct OpenRequest {
  SessionId id;  // empty: a new session; else re-attach (then every setting below must be absent)
  std::string principal;              // who asks; a session is found by its own principal alone
  std::optional<TraceContext> trace;  // told to the observer with each of the stream's requests
  std::optional<std::string> system_prompt;  // formatted by the chat format and pinned whole
  std::optional<int32_t> sinks;
  std::optional<int64_t> window;
  SamplingOverrides sampling;
  std::optional<absl::Duration> idle_timeout;
};

struct TurnRequest {
  uint64_t request_id = 0;  // the client's own number, echoed in every event about this turn
  // Text in the user's role (chat format around it), or `raw` text or token ids as they are,
  // without any format. Not empty.
  std::variant<std::string, std::vector<TokenId>> input;
  bool raw = false;
  SamplingOverrides sampling;
};

struct AppendRequest {
  uint64_t request_id = 0;
  // Read as it is, not empty; consecutive texts are one text.
  std::variant<std::string, std::vector<TokenId>> input;
  std::optional<ScoringParams> scoring = std::nullopt;  // absent: no scores
};

}  // namespace sinkstream
