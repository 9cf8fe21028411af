#include "engine/session/request_queue.h"

#include <deque>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/errors.h"
#include "engine/session/scoring.h"
#include "engine/session/session_rules.h"

namespace sinkstream {
namespace {

void Push(Session& session, Event event) {
  if (session.outbox) session.outbox->Push(std::move(event));
}

// The wire contract's name of what a request feeds.
const char* InputField(const Sequence::Request& request) {
  if (!request.replies) return request.input.text ? "append.text" : "append.token_ids";
  if (request.input.user_turn) return "turn.text";
  return request.input.text ? "turn.raw_text" : "turn.token_ids";
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
  if (static_cast<int32_t>(session.requests.size()) > limits_.max_queued_requests) {
    return Exhausted(Refusal::kQueueFull,
                     absl::StrCat(name, ": max_queued_requests: ", limits_.max_queued_requests,
                                  " requests of this session wait already"),
                     absl::Seconds(1));
  }
  const auto& input = request.input;
  const size_t tokens = input.user_turn ? input.user_turn->later.size()
                        : input.text    ? input.text->tokens
                                        : input.tokens.size();
  return ValidateTokenCount(tokens, limits_.max_request_tokens, InputField(request));
}

void RequestQueue::Submit(Session& session, Sequence::Request request) {
  if (auto status = Admit(session, request); !status.ok()) {
    Reject(session, request.id, std::move(status));
    return;
  }
  session.requests.emplace_back(std::move(request));
  StartNext(session);
}

Prompt RequestQueue::TakePrompt(Session& session, const Sequence::Request& request) const {
  const bool first = session.window.position() == 0 && session.unread.empty();
  const bool opens = first && request.input.user_turn.has_value();
  if (first) session.turn_place = opens ? format_.PlaceOfFirst() : TurnPlace::kLater;
  const absl::Span<const TokenId> begin = opens ? begin_ : absl::Span<const TokenId>();
  const auto recent = session.recent.AsSpan();
  const TokenId previous = recent.empty() ? kNoToken : recent.back();
  auto prompt = MakePrompt(std::exchange(session.unread, {}), request.input, request.replies, begin,
                           tokenizer_, {session.turn_place, previous});
  if (request.scoring) KeepLast(prompt);
  return prompt;
}

void RequestQueue::StartNext(Session& session) {
  if (session.requests.empty()) return;
  Sequence& next = session.requests.front();
  if (next.state() != Sequence::State::kWaiting) return;
  const auto& request = next.request();
  const std::string field = InputField(request);  // of the input that it gives up
  auto prompt = TakePrompt(session, request);
  const int64_t first_scored =
      request.scoring
          ? FirstScored(prompt, *request.scoring, session.window.position(), session.system_tokens)
          : 0;
  next.Start(std::move(prompt), first_scored, session.window, tokenizer_);
  if (request.scoring) {
    auto few = CheckDistributions(*request.scoring, next.AllScored(), "append.scoring.");
    if (!few.ok()) return Fail(session, few);
  }
  if (next.prompt_tokens() > 0) return;
  if (!request.replies) return FinishAppend(session);  // all of its text is held back
  Fail(session, InvalidField(field, "has no tokens: the model's vocabulary lacks its bytes"));
}

void RequestQueue::DropFirst(Session& session) {
  const Sequence& first = session.requests.front();
  if (first.state() != Sequence::State::kWaiting) {
    session.unread = first.UnreadAfter(format_, tokenizer_);
    if (first.request().replies && first.Begun()) session.turn_place = TurnPlace::kLater;
  }
  session.requests.pop_front();
}

void RequestQueue::TellEnd(const Session& session, std::optional<FinishReason> reason,
                           const absl::Status& status, const Usage& usage,
                           const Timings& timings) const {
  const Sequence& first = session.requests.front();
  observer_.OnRequestEnd({.session_id = session.id,
                          .principal = session.principal,
                          .trace = session.trace,
                          .request_id = first.request().id,
                          .replies = first.request().replies,
                          .reason = reason,
                          .status = status,
                          .usage = usage,
                          .timings = timings});
}

void RequestQueue::TellWindow(Session& session) {
  const auto& window = session.window;
  Push(session, WindowMoved{window.position(), window.evicted(), window.first_recent()});
}

void RequestQueue::Flush(Session& session) {
  Sequence& first = session.requests.front();
  auto text = first.FlushText();
  if (text.empty()) return;
  Delta delta;
  delta.request_id = first.request().id;
  delta.text = std::move(text);
  Push(session, std::move(delta));
}

void RequestQueue::FinishTurn(Session& session, FinishReason reason) {
  const Sequence& turn = session.requests.front();
  auto done = turn.Done(reason, session.window, clock_.Now());
  if (done.usage.evicted_tokens > 0) TellWindow(session);
  TellEnd(session, reason, absl::OkStatus(), done.usage, done.timings);
  DropFirst(session);
  Push(session, std::move(done));
  StartNext(session);
}

void RequestQueue::FinishAppend(Session& session) {
  const Sequence& append = session.requests.front();
  const auto usage = append.FinalUsage(session.window);
  const auto timings = append.FinalTimings(clock_.Now());
  const uint64_t id = append.request().id;
  if (usage.evicted_tokens > 0) TellWindow(session);
  TellEnd(session, std::nullopt, absl::OkStatus(), usage, timings);
  DropFirst(session);
  Push(session, AppendDone{id, usage, static_cast<int64_t>(session.unread.held.size()), timings});
  StartNext(session);
}

void RequestQueue::Reject(Session& session, uint64_t request_id, absl::Status status) {
  if (const auto refusal = ErrorRefusal(status)) observer_.OnRejected(*refusal);
  observer_.OnRequestFailed(status);
  Push(session, RequestFailed{request_id, std::move(status)});
}

void RequestQueue::Fail(Session& session, const absl::Status& status) {
  const Sequence& first = session.requests.front();
  const uint64_t id = first.request().id;
  Flush(session);
  TellEnd(session, std::nullopt, status, first.FinalUsage(session.window),
          first.FinalTimings(clock_.Now()));
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
    if (request.replies) {
      Flush(session);
      return FinishTurn(session, FinishReason::kCancelled);
    }
    Fail(session, absl::CancelledError("append: cancelled by the client"));
  };
  if (!session.requests.empty()) cancel_first();
  for (auto& sequence : waiting) {
    session.requests.push_back(std::move(sequence));
    cancel_first();
  }
}

}  // namespace sinkstream
