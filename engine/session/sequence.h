// Sequence: one request of a session on its way through the engine: a turn (prompt, then a reply
// being made) or an append (prompt only). Owned by its session; one thread at a time: the engine
// thread, or that of the model which samples the session (engine/step/step_sampler.h).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/time/time.h"
#include "absl/types/span.h"
#include "engine/kv/kv_window.h"
#include "engine/sampling/sampler.h"
#include "engine/session/prompt.h"
#include "engine/text/chat_format.h"
#include "engine/text/detokenizer.h"
#include "engine/text/tokenizer.h"
#include "engine/types.h"

namespace sinkstream {

class Sequence {
 public:
  // Transitions: kWaiting -> kPrefill (Start) -> kDecode (first AcceptToken) ; the session drops it
  // when it is done.
  enum class State { kWaiting, kPrefill, kDecode };

  struct Request {
    uint64_t id = 0;
    bool replies = false;  // a turn; else an append
    RequestInput input;
    std::optional<ScoringParams> scoring = std::nullopt;  // of an append
    SamplingParams sampling;                              // of a turn
    uint64_t seed = 0;                                    // of a turn
    absl::Time accepted;
  };

  explicit Sequence(Request request);

  const Request& request() const { return request_; }
  State state() const { return state_; }
  bool decodes() const { return state_ == State::kDecode; }
  // Tokens of the prompt that this sequence feeds.
  int64_t prompt_tokens() const {
    return static_cast<int64_t>(prompt_.tokens.size()) - prompt_.kept_tokens;
  }
  int64_t prompt_left() const { return prompt_tokens() - fed_; }
  int64_t prompt_fed() const { return fed_; }
  // True once a token of its own has been fed: not only what the session owed or held.
  bool Begun() const { return fed_ > prompt_.OwnBegin(); }

  // It is first in its session: feeds `prompt`, made from request().input, which it gives up.
  // `first_scored`: FirstScored (scoring.h) where it is to be scored.
  void Start(Prompt prompt, int64_t first_scored, const KvWindow& window,
             const Tokenizer& tokenizer);

  // The first `tokens` tokens of the prompt are in the cache already, put there by others.
  // Requires: it has fed nothing; so many and more are in the prompt, and the session owed them.
  void SkipCached(int64_t tokens, const KvWindow& window);

  // It has a place in a step: the first one ends its time in the queue.
  void Planned(absl::Time now);

  // The next tokens to feed, at most `rows`: of the prompt, or the last token sampled and guesses
  // at those that follow it. Valid until the next Guess, and where `rows` is 1 until AcceptToken.
  absl::Span<const TokenId> NextTokens(int32_t rows) const;
  // The last token sampled. Requires: decodes().
  TokenId last() const { return last_; }
  // Tokens that the reply may still get, max_tokens alone considered.
  int64_t tokens_left() const { return request_.sampling.max_tokens - usage_.generated_tokens; }
  // Takes `guesses` at what follows last(), up to the first that would end the reply, in place of
  // earlier ones. Returns how many it took. Requires: decodes().
  int32_t Guess(absl::Span<const TokenId> guesses, const ChatFormat& format);
  // Of the next `rows` rows, how many need logits; they are the last.
  int32_t LogitRows(int32_t rows) const;
  // Whether the peaks of its rows are all that it needs of their logits.
  bool TakesPeaksAlone() const;
  // Rows left before the first that scores a token; absent where none will.
  std::optional<int64_t> RowsBeforeScored() const;
  // The tokens that the next `rows` rows score.
  absl::Span<const TokenId> ScoredTokens(int32_t rows) const;
  // Tokens that the request asks to have scored, told or not.
  int64_t AllScored() const;
  // The next `rows` tokens have been fed.
  void Fed(int32_t rows, absl::Time now);

  // Index of the next token of the reply.
  uint64_t generated() const { return static_cast<uint64_t>(usage_.generated_tokens); }

  // Takes a sampled token. `delta` gets the token and the text it releases; the result is set if
  // the reply ends with it.
  std::optional<FinishReason> AcceptToken(const Sampled& sampled, const ChatFormat& format,
                                          absl::Time now, Delta& delta);

  // Text that is still held back, if the reply ends here without another token.
  std::string FlushText();

  // What the session has to read before its next request, if this one ends here: what LeftUnread
  // (prompt.h) says, the last token sampled, the end of an unfinished turn.
  Unread UnreadAfter(const ChatFormat& format, const Tokenizer& tokenizer) const;

  // Final counts and times.
  TurnDone Done(FinishReason reason, const KvWindow& window, absl::Time now) const;
  Usage FinalUsage(const KvWindow& window) const;
  Timings FinalTimings(absl::Time now) const;

 private:
  std::optional<FinishReason> StopReason(TokenId token, const ChatFormat& format) const;

  Request request_;
  State state_ = State::kWaiting;
  Prompt prompt_;
  int64_t fed_ = 0;               // of prompt_
  int64_t first_scored_ = 0;      // of prompt_; with Request::scoring
  TokenId last_ = 0;              // sampled; in kDecode
  bool last_fed_ = false;         // it is in the cache
  std::vector<TokenId> guessed_;  // last_ as it was at Guess, then the guesses
  std::unique_ptr<Detokenizer> detokenizer_;
  Usage usage_;
  int64_t evicted_at_start_ = 0;
  std::optional<absl::Time> planned_;
  absl::Time prompt_read_, first_token_;
};

}  // namespace sinkstream
