// RequestQueue: the life of the requests of a session: accepted, started, finished, cut. It decides
// what a request feeds (what the session owes comes first) and what a finished or cut one leaves
// behind, and tells the attached stream. Engine thread only.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "engine/clock.h"
#include "engine/observer.h"
#include "engine/session/session.h"
#include "engine/text/chat_format.h"
#include "engine/text/tokenizer.h"

namespace sinkstream {

class RequestQueue {
 public:
  struct Limits {
    int32_t max_queued_requests = 0;  // that wait behind the first one
    int32_t max_request_tokens = 0;
  };

  // All outlive this.
  RequestQueue(Limits limits, const Tokenizer& tokenizer, const ChatFormat& format,
               EngineObserver& observer, const Clock& clock);

  // Queues a request behind those of `session`, and starts it if it is the first. Refused in band:
  // FAILED_PRECONDITION behind a turn, RESOURCE_EXHAUSTED if too many wait.
  void Submit(Session& session, Sequence::Request request);

  // The first request is complete: tells the stream and starts the next one.
  void FinishTurn(Session& session, FinishReason reason);
  void FinishAppend(Session& session);
  // The first request has failed: RequestFailed, then the next one.
  void Fail(Session& session, const absl::Status& status);
  // Ends every request, running or waiting: TurnDone with kCancelled, or RequestFailed with
  // CANCELLED for an append. What a running reply held back is sent before.
  void CancelAll(Session& session);

  // Tells the stream where the window stands.
  static void TellWindow(Session& session);
  // Tells the stream and the observer that a request has failed.
  void Reject(Session& session, uint64_t request_id, absl::Status status);

 private:
  absl::Status Admit(const Session& session, const Sequence::Request& request) const;
  // What `request`, now the first, feeds, with what the session owed and held.
  Prompt TakePrompt(Session& session, const Sequence::Request& request) const;
  void StartNext(Session& session);
  // Tells the observer that the first request has ended; `usage` and `timings` as its client is
  // told them.
  void TellEnd(const Session& session, std::optional<FinishReason> reason,
               const absl::Status& status, const Usage& usage, const Timings& timings) const;
  // Sends what the first request's reply still holds back.
  static void Flush(Session& session);
  void DropFirst(Session& session);

  const Limits limits_;
  const Tokenizer& tokenizer_;
  const ChatFormat& format_;
  const std::vector<TokenId> begin_;  // the start of a conversation without a system prompt
  EngineObserver& observer_;
  const Clock& clock_;
};

}  // namespace sinkstream
