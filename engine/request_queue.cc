#include "engine/request_queue.h"

#include <deque>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/errors.h"

namespace sinkstream {
namespace {

void Append(std::vector<TokenId>& tokens, const std::vector<TokenId>& more) {
  tokens.insert(tokens.end(), more.begin(), more.end());
}

void Push(Session& session, Event event) {
  if (session.outbox) session.outbox->Push(std::move(event));
}

}  // namespace

RequestQueue::RequestQueue(Limits limits, const Tokenizer& tokenizer, const ChatFormat& format,
                           EngineObserver& observer, const Clock& clock)
    : limits_(limits),
      tokenizer_(tokenizer),
      format_(format),
      begin_(format.EncodeBegin(tokenizer, std::nullopt)),
      observer_(observer),
      clock_(clock) {}

absl::Status RequestQueue::Admit(const Session& session, const Sequence::Request& request) const {
  const char* const name = request.replies ? "turn" : "append";
  if (session.half_closed) {
    return absl::FailedPreconditionError(absl::StrCat(name, ": the stream is half-closed"));
  }
  if (!session.requests.empty() && session.requests.back().request().replies) {
    return absl::FailedPreconditionError(
        absl::StrCat(name, ": turn ", session.requests.back().request().id,
                     " is still running in this session; wait for its turn_done, or cancel it"));
  }
  if (static_cast<int32_t>(session.requests.size()) >= limits_.max_queued_requests) {
    return Exhausted("QUEUE_FULL",
                     absl::StrCat(name, ": max_queued_requests: ", limits_.max_queued_requests,
                                  " requests of this session wait already"),
                     absl::Seconds(1));
  }
  const size_t tokens =
      request.input.text ? request.input.text->body.size() : request.input.tokens.size();
  if (tokens > static_cast<size_t>(limits_.max_request_tokens)) {
    return InvalidField(name, absl::StrCat("is ", tokens, " tokens long; at most ",
                                           limits_.max_request_tokens, " (max_request_tokens)"));
  }
  return absl::OkStatus();
}

void RequestQueue::Submit(Session& session, Sequence::Request request) {
  if (auto status = Admit(session, request); !status.ok()) {
    Reject(session, request.id, std::move(status));
    return;
  }
  session.requests.emplace_back(std::move(request));
  StartNext(session);
}

// What is read before a request's own tokens and is kept even if the request is cut.
std::vector<TokenId> RequestQueue::TakeOwed(Session& session, const RequestInput& input) const {
  std::vector<TokenId> owed = std::exchange(session.owed, {});
  const bool fresh = session.window.position() == 0 && owed.empty() && session.held.empty();
  if (fresh && input.user_turn) Append(owed, begin_);
  if (!input.text) {
    Append(owed, tokenizer_.Encode(std::exchange(session.held, {})));
    return owed;
  }
  session.held += input.text->head;
  if (input.text->has_boundary || session.held.size() > kMaxHeldBytes) {
    Append(owed, tokenizer_.Encode(std::exchange(session.held, {})));
  }
  return owed;
}

std::vector<TokenId> RequestQueue::OwnTokens(Session& session, const RequestInput& input,
                                             bool replies) const {
  if (!input.text) return input.tokens;
  std::vector<TokenId> own = input.text->body;
  if (input.text->has_boundary) session.held = input.text->tail;
  // A reply follows: what was held back has no more text coming.
  if (replies) Append(own, tokenizer_.Encode(std::exchange(session.held, {})));
  return own;
}

void RequestQueue::StartNext(Session& session) {
  if (session.requests.empty()) return;
  Sequence& next = session.requests.front();
  if (next.state() != Sequence::State::kWaiting) return;
  const auto& request = next.request();
  auto owed = TakeOwed(session, request.input);
  const auto own = OwnTokens(session, request.input, request.replies);
  next.Start(std::move(owed), own, session.window, tokenizer_, clock_.Now());
  if (next.prompt_tokens() == 0) FinishAppend(session);  // all of its text is held back
}

void RequestQueue::DropFirst(Session& session) {
  const Sequence& first = session.requests.front();
  if (first.state() != Sequence::State::kWaiting) {
    session.owed = first.OwedAfter(format_, tokenizer_);
  }
  session.requests.pop_front();
}

void RequestQueue::TellWindow(Session& session) {
  const auto& window = session.window;
  Push(session, WindowMoved{window.position(), window.evicted(), window.first_recent()});
}

void RequestQueue::FinishTurn(Session& session, FinishReason reason) {
  const Sequence& turn = session.requests.front();
  auto done = turn.Done(reason, session.window, clock_.Now());
  if (done.usage.evicted_tokens > 0) TellWindow(session);
  observer_.OnTurnDone(done);
  DropFirst(session);
  Push(session, std::move(done));
  StartNext(session);
}

void RequestQueue::FinishAppend(Session& session) {
  const Sequence& append = session.requests.front();
  const auto usage = append.FinalUsage(session.window);
  const uint64_t id = append.request().id;
  if (usage.evicted_tokens > 0) TellWindow(session);
  DropFirst(session);
  Push(session, AppendDone{id, usage, static_cast<int64_t>(session.held.size())});
  StartNext(session);
}

void RequestQueue::Reject(Session& session, uint64_t request_id, absl::Status status) {
  if (const auto reason = ErrorReason(status)) observer_.OnRejected(*reason);
  observer_.OnRequestFailed(status);
  Push(session, RequestFailed{request_id, std::move(status)});
}

void RequestQueue::Fail(Session& session, const absl::Status& status) {
  const uint64_t id = session.requests.front().request().id;
  DropFirst(session);
  Reject(session, id, status);
  StartNext(session);
}

void RequestQueue::CancelAll(Session& session) {
  // Waiting requests go first, so that none of them is started by the end of the running one.
  std::deque<Sequence> waiting;
  while (session.requests.size() > 1) {
    waiting.push_front(std::move(session.requests.back()));
    session.requests.pop_back();
  }
  const auto cancel_first = [&] {
    const auto& request = session.requests.front().request();
    if (request.replies) return FinishTurn(session, FinishReason::kCancelled);
    Fail(session, absl::CancelledError("append: cancelled by the client"));
  };
  if (!session.requests.empty()) cancel_first();
  for (auto& sequence : waiting) {
    session.requests.push_back(std::move(sequence));
    cancel_first();
  }
}

}  // namespace sinkstream
