// Engine: the facade that the server calls. It owns the engine thread, the model and every session.
//
// Threads: every method may be called by any thread and none blocks on the model. A call is checked, put into one bounded
// inbox and carried out by the engine thread; its outcome comes as an event or as the close of the caller's outbox.
// A method's own Status says only whether the call was accepted.
//
// A stream attaches to a session with Open and gets an attachment. When another stream attaches to the same session,
// the first one's outbox is closed with ABORTED and whatever its attachment still asks is ignored.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/clock.h"
#include "engine/model.h"
#include "engine/observer.h"
#include "engine/outbox.h"
#include "engine/text/chat_format.h"
#include "engine/text/tokenizer.h"
#include "engine/types.h"

namespace sinkstream {

using AttachmentId = uint64_t;

// Every bound of the engine, with its default. Checked by Engine::Create.
struct EngineLimits {
  int32_t max_sessions = 256;        // live, attached or not; then RESOURCE_EXHAUSTED, reason MAX_SESSIONS
  size_t inbox_capacity = 4096;      // calls waiting for the engine thread; then RESOURCE_EXHAUSTED, QUEUE_FULL
  size_t outbox_capacity = 64;       // events waiting for a slow reader; then its decoding pauses
  int32_t max_queued_requests = 8;   // appends and turns waiting in one session; then RESOURCE_EXHAUSTED, QUEUE_FULL
  int64_t max_request_bytes = 256 << 10;  // text of one turn, append or system prompt; then INVALID_ARGUMENT
  int32_t max_request_tokens = 131072;    // tokens of the same; then INVALID_ARGUMENT
  int32_t max_tokens = 16384;        // of one reply
  absl::Duration max_idle_timeout = absl::Hours(24);
  int32_t step_tokens = 256;         // rows of one model step, decode and prefill together
  int32_t prefill_chunk = 64;        // prefill rows of one step while any session decodes
  int32_t max_prefills_per_step = 8; // sessions that prefill in one step
};

struct EngineOptions {
  EngineLimits limits;
  SessionSettings defaults;  // for what an OpenRequest leaves out
  int64_t position_offset = 0;  // StepSequence::rotary_offset of every session: a test aid
};

struct OpenRequest {
  SessionId id;           // empty: a new session; else re-attach (then every setting below must be absent)
  std::string principal;  // who asks; a session is found by its own principal alone
  std::optional<std::string> system_prompt;  // formatted by the chat format and pinned whole
  std::optional<int32_t> sinks;
  std::optional<int64_t> window;
  SamplingOverrides sampling;
  std::optional<absl::Duration> idle_timeout;
};

struct TurnRequest {
  uint64_t request_id = 0;  // the client's own number, echoed in every event about this turn
  // Text in the user's role (chat format around it), or `raw` text or token ids as they are, without any format.
  std::variant<std::string, std::vector<TokenId>> input;
  bool raw = false;
  SamplingOverrides sampling;
};

struct AppendRequest {
  uint64_t request_id = 0;
  std::variant<std::string, std::vector<TokenId>> input;  // read as it is; consecutive texts are one text
};

class Engine {
 public:
  // `observer` and `clock` outlive the engine. INVALID_ARGUMENT if options contradict each other or the model
  // (default sinks + window beyond the trained context, a KV pool that holds no session of the default size).
  static absl::StatusOr<std::unique_ptr<Engine>> Create(const EngineOptions& options,
                                                        std::unique_ptr<Model> model,
                                                        std::unique_ptr<Tokenizer> tokenizer,
                                                        ChatFormat chat_format,
                                                        EngineObserver& observer, const Clock& clock);
  // Stops the engine thread; closes every outbox with UNAVAILABLE.
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Attaches `outbox` to a new or an existing session. First event: Opened. Refusals close the outbox: NOT_FOUND (no such
  // session of this principal), RESOURCE_EXHAUSTED with RetryInfo, INVALID_ARGUMENT (a setting), UNAVAILABLE (draining).
  absl::StatusOr<AttachmentId> Open(OpenRequest request, std::shared_ptr<Outbox> outbox);

  // Answers: deltas, then TurnDone or RequestFailed. FAILED_PRECONDITION (as RequestFailed) while a turn runs or waits.
  absl::Status Turn(AttachmentId attachment, TurnRequest request);
  // Answer: AppendDone or RequestFailed. Appends queue up; a turn may queue behind them.
  absl::Status Append(AttachmentId attachment, AppendRequest request);
  // Ends the running turn (TurnDone, kCancelled) and drops queued requests the same way. Nothing running: no effect.
  absl::Status Cancel(AttachmentId attachment);
  // Ends the session: its blocks go back to the pool, its id is forgotten, the outbox is closed with OK.
  absl::Status Close(AttachmentId attachment);
  // The client will send no more: when the requests at hand are done the outbox is closed with OK and the session stays for
  // its idle timeout. Always accepted.
  void HalfClose(AttachmentId attachment);
  // The stream is gone: its requests stop within a step, the session stays for its idle timeout. Always accepted.
  void Detach(AttachmentId attachment);

  // No new session from now on (UNAVAILABLE); running requests go on. Returns at once.
  void StartDraining();

  // Constant after Create; any thread.
  const ModelSpec& Spec() const;
  const EngineOptions& Options() const;
  const Tokenizer& GetTokenizer() const;
  const ChatFormat& GetChatFormat() const;
  // KV bytes a session of these settings reserves; the pool holds Spec().num_blocks * block_bytes in all.
  int64_t SessionKvBytes(const SessionSettings& settings) const;

 private:
  class Impl;
  explicit Engine(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace sinkstream
