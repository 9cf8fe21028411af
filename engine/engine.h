// Engine: the facade that the server calls. It owns the engine thread, the model and every session.
//
// Threads: every method may be called by any thread and none blocks on the model. A call is
// checked, put into one bounded inbox and carried out by the engine thread; its outcome comes as an
// event or as the close of the caller's outbox. A method's own Status says only whether the call
// was accepted. Every request gets an answer in the outbox even if that is full, so the caller
// bounds how many it sends before it has read the answers (server/stream/stream_state.h).
//
// A stream attaches to a session with Open and gets an attachment. When another stream attaches to
// the same session, the first one's outbox is closed with ABORTED and whatever its attachment still
// asks is ignored.
#pragma once

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/clock.h"
#include "engine/model.h"
#include "engine/observer.h"
#include "engine/options.h"
#include "engine/outbox.h"
#include "engine/text/chat_format.h"
#include "engine/text/tokenizer.h"
#include "engine/types.h"

namespace sinkstream {

class Engine {
 public:
  // `observer` and `clock` outlive the engine. INVALID_ARGUMENT if options contradict each other or
  // the model (default sinks + window beyond the trained context, a KV pool that holds no session
  // of the default size, a tokenizer with ids beyond the vocabulary), or if the park's directory
  // takes no files. RESOURCE_EXHAUSTED if the system refuses a thread.
  static absl::StatusOr<std::unique_ptr<Engine>> Create(const EngineOptions& options,
                                                        std::unique_ptr<Model> model,
                                                        std::unique_ptr<Tokenizer> tokenizer,
                                                        ChatFormat chat_format,
                                                        EngineObserver& observer,
                                                        const Clock& clock);
  // Stops the engine thread; closes every outbox with UNAVAILABLE.
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Attaches `outbox` to a new or an existing session. First event: Opened. Refusals close the
  // outbox: NOT_FOUND (no such session of this principal), RESOURCE_EXHAUSTED with RetryInfo (none
  // where the session can never fit), INVALID_ARGUMENT (a setting), UNAVAILABLE with RetryInfo
  // (draining), DATA_LOSS (its parked cache cannot be read back). Returned at once, and the outbox
  // stays open: INVALID_ARGUMENT (stops; a system prompt beyond max_request_tokens, or where the
  // chat format has no system turn), RESOURCE_EXHAUSTED, QUEUE_FULL (too many calls of all wait for
  // the engine).
  absl::StatusOr<AttachmentId> Open(OpenRequest request, std::shared_ptr<Outbox> outbox);

  // Answers: deltas, then TurnDone or RequestFailed: FAILED_PRECONDITION while a turn runs or
  // waits, RESOURCE_EXHAUSTED, QUEUE_FULL, behind max_queued_requests, INVALID_ARGUMENT for
  // sampling, the model's own errors (Model::Step). Returned at once: INVALID_ARGUMENT (stops),
  // RESOURCE_EXHAUSTED, QUEUE_FULL (too many calls of this attachment, or of all, wait for the
  // engine). The caller has checked the length of texts, and that token ids are of the vocabulary
  // (server/wire/request.h).
  absl::Status Turn(AttachmentId attachment, TurnRequest request);
  // Answer: Scores where asked for, then AppendDone or RequestFailed. Appends queue up; a turn may
  // queue behind them. Refused as Turn().
  absl::Status Append(AttachmentId attachment, AppendRequest request);
  // Ends the running turn (TurnDone, kCancelled) and drops the requests that wait: TurnDone for a
  // turn, RequestFailed with CANCELLED for an append. Nothing running: no effect. Always accepted.
  void Cancel(AttachmentId attachment);
  // Ends the session: its blocks go back to the pool, its id is forgotten, the outbox is closed
  // with OK. A running turn ends without a TurnDone. Always accepted.
  void Close(AttachmentId attachment);
  // The client will send no more: when the requests at hand are done the outbox is closed with OK
  // and the session stays for its idle timeout. Always accepted.
  void HalfClose(AttachmentId attachment);
  // The stream is gone: its requests stop within a step, the session stays for its idle timeout.
  // Always accepted.
  void Detach(AttachmentId attachment);

  // No stream attaches and no request is taken from now on (UNAVAILABLE); those that run or wait go
  // on. Each stream is told (GoAway) that they have `time_left`, which the caller sees to. Returns
  // at once.
  void StartDraining(absl::Duration time_left);

  // Constant after Create; any thread.
  const ModelSpec& Spec() const;
  const EngineOptions& Options() const;
  const Tokenizer& GetTokenizer() const;
  const ChatFormat& GetChatFormat() const;
  // KV bytes that a session of these settings reserves, and those that all sessions can: the pool
  // less what a step takes meanwhile.
  int64_t SessionKvBytes(const SessionSettings& settings) const;
  int64_t SessionsKvBytes() const;

 private:
  class Impl;
  explicit Engine(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace sinkstream
