// Sequence: one request of a session on its way through the engine: a turn (prompt, then a reply
// being made) or an append (prompt only). Owned by its session; engine thread only.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/time/time.h"
#include "absl/types/span.h"
#include "engine/kv_window.h"
#include "engine/sampler.h"
#include "engine/text/chat_format.h"
#include "engine/text/detokenizer.h"
#include "engine/text/tokenizer.h"
#include "engine/types.h"

namespace sinkstream {

// What a request feeds, encoded as far as the calling thread can: text that joins earlier text
// waits for the session's.
struct RequestInput {
  bool user_turn = false;  // formatted as the user's turn; its reply is closed by the chat format
  std::optional<SplitText> text;  // text as it is; else `tokens`
  std::vector<TokenId> tokens;
};

class Sequence {
 public:
  // Transitions: kWaiting -> kPrefill (Start) -> kDecode (first AcceptToken) ; the session drops it
  // when it is done.
  enum class State { kWaiting, kPrefill, kDecode };

  struct Request {
    uint64_t id = 0;
    bool replies = false;  // a turn; else an append
    RequestInput input;
    SamplingParams sampling;  // of a turn
    uint64_t seed = 0;        // of a turn
    absl::Time accepted;
  };

  explicit Sequence(Request request);

  const Request& request() const { return request_; }
  State state() const { return state_; }
  bool decodes() const { return state_ == State::kDecode; }
  int64_t prompt_tokens() const { return static_cast<int64_t>(prompt_.size()); }
  int64_t prompt_left() const { return prompt_tokens() - fed_; }
  int64_t prompt_fed() const { return fed_; }

  // `owed`: what the session still has to read before this request's own tokens; never lost, even
  // if this is cut.
  void Start(std::vector<TokenId> owed, absl::Span<const TokenId> own, const KvWindow& window,
             const Tokenizer& tokenizer, absl::Time now);

  // The next tokens to feed, at most `rows`: of the prompt, or the last token sampled.
  absl::Span<const TokenId> NextTokens(int32_t rows) const;
  // True if feeding `rows` more tokens calls for a sampled token.
  bool NeedsLogits(int32_t rows) const;
  // They have been fed.
  void Fed(int32_t rows, absl::Time now);

  // Index of the next token of the reply.
  uint64_t generated() const { return static_cast<uint64_t>(usage_.generated_tokens); }

  // Takes a sampled token. `delta` gets the token and the text it releases; the result is set if
  // the reply ends with it.
  std::optional<FinishReason> AcceptToken(const Sampled& sampled, const ChatFormat& format,
                                          absl::Time now, Delta& delta);

  // What the session has to read before its next request, if this one ends here: what was owed and
  // has not been fed, the last token sampled, the end of an unfinished turn.
  std::vector<TokenId> OwedAfter(const ChatFormat& format, const Tokenizer& tokenizer) const;

  // Final counts and times.
  TurnDone Done(FinishReason reason, const KvWindow& window, absl::Time now) const;
  Usage FinalUsage(const KvWindow& window) const;

 private:
  std::optional<FinishReason> StopReason(TokenId token, const ChatFormat& format) const;

  const Request request_;
  State state_ = State::kWaiting;
  std::vector<TokenId> prompt_;
  int64_t owed_ = 0;  // of prompt_, tokens that the session owed
  int64_t fed_ = 0;   // of prompt_
  TokenId last_ = 0;  // sampled, not yet fed; in kDecode
  std::unique_ptr<Detokenizer> detokenizer_;
  Usage usage_;
  int64_t evicted_at_start_ = 0;
  absl::Time started_, prompt_read_, first_token_;
};

}  // namespace sinkstream
