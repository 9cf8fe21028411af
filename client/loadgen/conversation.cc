#include "client/loadgen/conversation.h"

#include <algorithm>
#include <utility>

#include "client/wire_duration.h"
#include "client/wire_status.h"

namespace sinkstream::loadgen {
namespace {

// After a failure, where the server does not say: a user who hammered would measure nothing else.
constexpr absl::Duration kAfterFailure = absl::Seconds(1);

// When a failure was due that no turn has: in no window.
constexpr absl::Time kNoTurn = absl::InfinitePast();

}  // namespace

Conversation::Conversation(const Traffic& traffic, Measurement& measurement, int64_t index,
                           bool gate)
    : traffic_(traffic),
      measurement_(measurement),
      script_(traffic_.workload, index),
      has_gate_(gate),
      history_left_(script_.history_tokens()),
      turns_left_(gate ? traffic_.workload.warmup_turns : traffic_.workload.turns) {}

Steps Conversation::Begin(absl::Time due) {
  session_due_ = due;
  Send open;
  *open.request.mutable_open() = traffic_.open;
  return {Connect{}, std::move(open)};
}

Steps Conversation::OnResponse(const v1::ConverseResponse& response, absl::Time now) {
  if (Over()) return {};
  switch (response.event_case()) {
    case v1::ConverseResponse::kOpened:
      return OnOpened(response.opened(), now);
    case v1::ConverseResponse::kDelta:
      return OnDelta(response.delta(), now);
    case v1::ConverseResponse::kTurnDone:
      return OnTurnDone(response.turn_done(), now);
    case v1::ConverseResponse::kAppendDone:
      return state_ == State::kReading ? ReadOn(now) : Steps();
    case v1::ConverseResponse::kFailed:
      return OnFailed(response.failed(), now);
    default:
      return {};
  }
}

Steps Conversation::OnOpened(const v1::Opened& opened, absl::Time now) {
  if (state_ != State::kOpening) return {};
  if (!session_id_.empty()) {
    measurement_.Reattached(now - dropped_at_);
    return GoOn(now, now);
  }
  session_id_ = opened.session_id();
  return ReadOn(now);
}

// The history, piece by piece; then the first turn.
Steps Conversation::ReadOn(absl::Time now) {
  if (history_left_ > 0) {
    state_ = State::kReading;
    const int64_t tokens = std::min(history_left_, traffic_.append_tokens);
    Send append;
    append.request.mutable_append()->set_request_id(++request_id_);
    const auto ids =
        Piece(script_.history_place(), tokens, script_.history_tokens() - history_left_);
    append.request.mutable_append()->mutable_token_ids()->mutable_ids()->Add(ids.begin(),
                                                                             ids.end());
    history_left_ -= tokens;
    return {std::move(append)};
  }
  measurement_.SessionStarted(session_due_, now);
  // Of an open loop, the user has been waiting for the first reply since arriving.
  const bool waiting = traffic_.workload.OpenLoop() && script_.history_tokens() == 0;
  const absl::Time since = waiting ? session_due_ : now;
  return GoOn(since, since);
}

// Plans the next turn: due when its user has thought, but not before `earliest`.
Steps Conversation::GoOn(absl::Time now, absl::Time earliest) {
  if (turns_left_ == 0 && has_gate_ && !gate_passed_) {
    state_ = State::kAtGate;
    return {};
  }
  if (turns_left_ == 0) return Close();
  turn_ = script_.NextTurn();
  const bool first = std::exchange(first_turn_, false);
  due_ = std::max(first ? now : now + turn_.think, earliest);
  const bool beyond_end = due_ >= measurement_.end();
  if (beyond_end && first) measurement_.HadNoTurn(session_due_);
  if (beyond_end && winding_down_) return Close();
  state_ = State::kThinking;
  // Closed now, it would make room for a user who does not think.
  if (beyond_end) return {};
  --turns_left_;
  if (due_ > now) return {Wake{due_}};
  return SendTurn();
}

Steps Conversation::PassGate(absl::Time now) {
  if (state_ != State::kAtGate) return {};
  gate_passed_ = true;
  turns_left_ = traffic_.workload.turns;
  return GoOn(now, now);
}

Steps Conversation::OnWake(absl::Time now) {
  return state_ == State::kThinking && now >= due_ ? SendTurn() : Steps();
}

Steps Conversation::SendTurn() {
  state_ = State::kReplying;
  first_token_ = absl::InfiniteFuture();
  tokens_ = 0;
  gaps_ = {};
  cancelled_ = false;
  pause_ = absl::ZeroDuration();
  Send send;
  v1::Turn& turn = *send.request.mutable_turn();
  turn.set_request_id(++request_id_);
  const auto ids = Piece(turn_.prompt_place, turn_.prompt_tokens);
  turn.mutable_token_ids()->mutable_ids()->Add(ids.begin(), ids.end());
  turn.mutable_sampling()->set_max_tokens(static_cast<int32_t>(turn_.reply_tokens));
  turn.mutable_sampling()->set_seed(turn_.seed);
  return {std::move(send)};
}

Steps Conversation::OnDelta(const v1::Delta& delta, absl::Time now) {
  const int64_t count = delta.token_ids_size();
  if (state_ != State::kReplying || delta.request_id() != request_id_ || count == 0) return {};
  measurement_.TokensArrived(now, count);
  if (tokens_ == 0) {
    first_token_ = now;
    measurement_.FirstToken(due_, now);
  } else if (!reads_slowly()) {
    measurement_.Gap(due_, now - last_token_, count, gaps_);
  }
  tokens_ += count;
  last_token_ = now;
  if (turn_.drop_after && tokens_ >= *turn_.drop_after) {
    measurement_.TurnBent(due_);
    state_ = State::kDropped;
    dropped_at_ = now;
    return {Drop{}};
  }
  if (!turn_.cancel_after || tokens_ < *turn_.cancel_after || cancelled_) return {};
  cancelled_ = true;
  Send cancel;
  cancel.request.mutable_cancel();
  return {std::move(cancel)};
}

Steps Conversation::OnTurnDone(const v1::TurnDone& done, absl::Time now) {
  if (state_ != State::kReplying || done.request_id() != request_id_) return {};
  const bool cancelled = cancelled_ && done.finish_reason() == v1::FINISH_REASON_CANCELLED;
  if (cancelled || reads_slowly()) {
    measurement_.TurnBent(due_);
  } else {
    measurement_.TurnFinished(
        {due_, first_token_, now, ToAbsl(done.timings().queue()), tokens_, gaps_});
  }
  return GoOn(now, now);
}

Steps Conversation::OnFailed(const v1::RequestFailed& failed, absl::Time now) {
  if (failed.request_id() != request_id_) return {};
  const absl::Status status = ToAbsl(failed.status());
  if (state_ == State::kReading) {
    error_ = status;
    CountFailure(status);
    return Close();
  }
  if (state_ != State::kReplying) return {};
  CountFailure(status);
  return GoOn(now, now + pause_);
}

Steps Conversation::OnStreamEnd(const absl::Status& status) {
  if (state_ == State::kDropped) {
    state_ = State::kOpening;
    Send open;
    open.request.mutable_open()->set_session_id(session_id_);
    return {Connect{}, std::move(open)};
  }
  if (!Over()) {
    error_ = status.ok() ? absl::AbortedError("the server ended the stream") : status;
    CountFailure(error_);
  }
  state_ = State::kEnded;
  return {};
}

Steps Conversation::WindDown() {
  winding_down_ = true;
  const bool done = state_ == State::kThinking && due_ >= measurement_.end();
  return done ? Close() : Steps();
}

Steps Conversation::GiveUp(bool unfinished) {
  if (Over()) return {};
  if (unfinished && Owes()) CountFailure(absl::DeadlineExceededError("no answer"));
  if (session_id_.empty() || state_ == State::kDropped) {
    state_ = State::kClosing;
    return {Drop{}};
  }
  return Close();
}

bool Conversation::Owes() const {
  return state_ != State::kAtGate && state_ != State::kThinking && !Over();
}

void Conversation::CountFailure(const absl::Status& status) {
  pause_ = RetryDelay(status).value_or(kAfterFailure);
  if (state_ == State::kReplying) return measurement_.Failed(due_, status);
  const bool started = !session_id_.empty() && state_ != State::kReading;
  measurement_.Failed(started ? kNoTurn : session_due_, status);
}

int64_t Conversation::turns_to_come() const {
  if (Over()) return 0;
  if (has_gate_ && !gate_passed_) return traffic_.workload.turns;
  return turns_left_ + (state_ == State::kThinking || state_ == State::kReplying ? 1 : 0);
}

Steps Conversation::Close() {
  state_ = State::kClosing;
  Send close;
  close.request.mutable_close();
  return {std::move(close), HalfClose{}};
}

std::vector<int32_t> Conversation::Piece(double place, int64_t tokens, int64_t skip) const {
  const std::vector<int32_t>& text = traffic_.text;
  const auto start = static_cast<size_t>(place * static_cast<double>(text.size()));
  size_t at = (start + static_cast<size_t>(skip)) % text.size();
  std::vector<int32_t> piece;
  piece.reserve(static_cast<size_t>(tokens));
  while (std::ssize(piece) < tokens) {
    piece.push_back(text[at]);
    at = (at + 1) % text.size();
  }
  return piece;
}

}  // namespace sinkstream::loadgen
