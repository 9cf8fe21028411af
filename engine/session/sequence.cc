#include "engine/session/sequence.h"

#include <algorithm>
#include <utility>

#include "engine/check.h"

namespace sinkstream {
namespace {

bool Contains(const std::vector<TokenId>& tokens, TokenId token) {
  return std::find(tokens.begin(), tokens.end(), token) != tokens.end();
}

}  // namespace

Sequence::Sequence(Request request) : request_(std::move(request)) {}

void Sequence::Start(Prompt prompt, int64_t first_scored, const KvWindow& window,
                     const Tokenizer& tokenizer) {
  SINKSTREAM_CHECK(state_ == State::kWaiting);
  state_ = State::kPrefill;
  prompt_ = std::move(prompt);
  first_scored_ = first_scored;
  request_.input.text.reset();
  request_.input.tokens = {};
  if (request_.input.user_turn) request_.input.user_turn.emplace();
  usage_.cached_tokens = window.visible();
  evicted_at_start_ = window.evicted();
  if (request_.replies) {
    // A reply in the chat format is a text of its own; one to raw text goes on with that text.
    const bool continues = !request_.input.user_turn && !prompt_.tokens.empty() &&
                           !tokenizer.IsSpecial(prompt_.tokens.back());
    detokenizer_ =
        std::make_unique<Detokenizer>(tokenizer, request_.sampling.stop_strings, continues);
  }
}

void Sequence::SkipCached(int64_t tokens, const KvWindow& window) {
  SINKSTREAM_CHECK(fed_ == 0 && tokens <= prompt_.owed_tokens && tokens < prompt_tokens());
  prompt_.tokens.erase(prompt_.tokens.begin(), prompt_.tokens.begin() + tokens);
  prompt_.owed_tokens -= tokens;
  first_scored_ -= tokens;
  usage_.cached_tokens = window.visible();
}

void Sequence::Planned(absl::Time now) {
  if (!planned_) planned_ = now;
}

absl::Span<const TokenId> Sequence::NextTokens(int32_t rows) const {
  if (decodes() && rows == 1) return {&last_, 1};
  if (decodes()) return absl::MakeConstSpan(guessed_).first(rows);
  return absl::MakeConstSpan(prompt_.tokens).subspan(fed_, rows);
}

int32_t Sequence::LogitRows(int32_t rows) const {
  if (request_.scoring) return static_cast<int32_t>(ScoredTokens(rows).size());
  if (decodes()) return rows;
  return request_.replies && rows == prompt_left() ? 1 : 0;
}

bool Sequence::TakesPeaksAlone() const {
  return request_.replies && TakesPeakAlone(request_.sampling);
}

int64_t Sequence::AllScored() const {
  if (!request_.scoring) return 0;
  return static_cast<int64_t>(prompt_.tokens.size()) - first_scored_;
}

std::optional<int64_t> Sequence::RowsBeforeScored() const {
  if (AllScored() == 0) return std::nullopt;
  return std::max<int64_t>(0, first_scored_ - 1 - fed_);
}

absl::Span<const TokenId> Sequence::ScoredTokens(int32_t rows) const {
  if (!request_.scoring) return {};
  const int64_t first = std::max(first_scored_, fed_ + 1);  // row i scores token i + 1
  const int64_t count = std::max<int64_t>(0, fed_ + rows + 1 - first);
  return count == 0 ? absl::Span<const TokenId>()
                    : absl::MakeConstSpan(prompt_.tokens).subspan(first, count);
}

int32_t Sequence::Guess(absl::Span<const TokenId> guesses, const ChatFormat& format) {
  guessed_.assign(1, last_);
  for (const TokenId guess : guesses) {
    if (StopReason(guess, format)) break;
    guessed_.push_back(guess);
  }
  return static_cast<int32_t>(guessed_.size()) - 1;
}

void Sequence::Fed(int32_t rows, absl::Time now) {
  if (decodes()) {
    last_fed_ = true;
    return;
  }
  fed_ += rows;
  if (prompt_left() == 0) prompt_read_ = now;
}

std::optional<FinishReason> Sequence::StopReason(TokenId token, const ChatFormat& format) const {
  if (Contains(request_.sampling.stop_tokens, token)) return FinishReason::kStopToken;
  if (!request_.sampling.ignore_end_of_turn && Contains(format.stop_tokens, token)) {
    return FinishReason::kEndOfTurn;
  }
  return std::nullopt;
}

std::optional<FinishReason> Sequence::AcceptToken(const Sampled& sampled, const ChatFormat& format,
                                                  absl::Time now, Delta& delta) {
  SINKSTREAM_CHECK(state_ != State::kWaiting && prompt_left() == 0);
  if (state_ == State::kPrefill) {
    first_token_ = now;
    delta.arrived = request_.accepted;
  }
  state_ = State::kDecode;
  last_ = sampled.token;
  last_fed_ = false;
  ++usage_.generated_tokens;

  delta.request_id = request_.id;
  delta.tokens.push_back(sampled.token);
  if (sampled.logprob) delta.logprobs.push_back(*sampled.logprob);

  auto reason = StopReason(sampled.token, format);
  if (!reason) {
    delta.text += detokenizer_->Push(sampled.token);
    if (detokenizer_->Stopped()) reason = FinishReason::kStopString;
  }
  if (!reason && usage_.generated_tokens == request_.sampling.max_tokens) {
    reason = FinishReason::kLength;
  }
  if (!reason) return std::nullopt;
  delta.text += detokenizer_->Flush();
  return detokenizer_->Stopped() ? FinishReason::kStopString : reason;
}

std::string Sequence::FlushText() { return detokenizer_ ? detokenizer_->Flush() : ""; }

Unread Sequence::UnreadAfter(const ChatFormat& format, const Tokenizer& tokenizer) const {
  Unread unread = LeftUnread(prompt_, fed_, request_.scoring && fed_ >= first_scored_);
  if (decodes() && !last_fed_) unread.owed.push_back(last_);
  if (request_.input.user_turn && Begun()) {
    const auto before = decodes() ? absl::MakeConstSpan(&last_, 1)
                                  : absl::MakeConstSpan(prompt_.tokens).first(fed_);
    const auto end = format.EncodeEndOfReply(tokenizer, before);
    unread.owed.insert(unread.owed.end(), end.begin(), end.end());
  }
  return unread;
}

Usage Sequence::FinalUsage(const KvWindow& window) const {
  Usage usage = usage_;
  usage.prompt_tokens = fed_;
  usage.evicted_tokens = state_ == State::kWaiting ? 0 : window.evicted() - evicted_at_start_;
  return usage;
}

TurnDone Sequence::Done(FinishReason reason, const KvWindow& window, absl::Time now) const {
  TurnDone done;
  done.request_id = request_.id;
  done.reason = reason;
  if (detokenizer_ && reason == FinishReason::kStopString) {
    done.stop_string = detokenizer_->Stopped().value_or("");
  }
  done.seed = request_.seed;
  done.usage = FinalUsage(window);
  done.timings = FinalTimings(now);
  return done;
}

Timings Sequence::FinalTimings(absl::Time now) const {
  Timings timings;
  timings.total = now - request_.accepted;
  timings.queue = planned_.value_or(now) - request_.accepted;
  if (state_ == State::kWaiting) return timings;
  if (planned_) timings.prefill = (prompt_left() == 0 ? prompt_read_ : now) - *planned_;
  if (decodes()) timings.first_token = first_token_ - request_.accepted;
  return timings;
}

}  // namespace sinkstream
