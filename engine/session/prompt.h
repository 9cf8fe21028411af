// Prompt: the tokens that a request feeds, and what is left unread when the request ends early.
//
// A text that comes in pieces is one text: the last tokens of a piece depend on the next one
// (SplitAtStableBoundaries), so its end is held as text until then. Whoever was told that a piece
// has been read may rely on it: a later request that is cut loses its own tokens, never those.
// Pure functions; engine thread only.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "engine/text/chat_format.h"
#include "engine/text/stable_boundaries.h"
#include "engine/text/tokenizer.h"
#include "engine/types.h"

namespace sinkstream {

// What a request feeds, encoded as far as the calling thread can: text that joins earlier text
// waits for the session's.
struct RequestInput {
  std::optional<UserTurn> user_turn;  // its reply is closed by the chat format
  std::optional<SplitText> text;      // else text as it is; else `tokens`
  std::vector<TokenId> tokens;
};

// What a session has taken in and not yet fed.
struct Unread {
  // First: the end of the former reply, the system turn, the last token of a scored append.
  std::vector<TokenId> owed;
  std::string held;   // then: text whose last tokens depend on what follows
  int64_t begun = 0;  // tokens at the end of `owed` of text that was held, until a request was cut
                      // within it

  bool empty() const { return owed.empty() && held.empty(); }
};

// Where a request stands in its session.
struct PromptPlace {
  TurnPlace turn = TurnPlace::kLater;  // of a user's turn
  TokenId previous = kNoToken;         // the last token that the session has read
};

struct Prompt {
  // In the order in which they are fed:
  //   | owed | begun | held before, encoded by now | the request's own ... | kept |
  //          |<------------ carried -------------->|
  std::vector<TokenId> tokens;
  int64_t owed_tokens = 0;     // what the session owed (Unread::owed), less those begun
  int64_t begun_tokens = 0;    // Unread::begun
  int64_t carried_tokens = 0;  // of text that came before this request
  int64_t kept_tokens = 0;     // 0 or 1: read, but left to the next request to feed
  std::string held_before;     // the session's held text when the request began
  std::string held_rest;       // the end of that, if it is held still
  std::string held_after;      // text that is held once the prompt has been read; begins with that

  // Tokens before the first that this request has encoded, and before the first of its own text.
  int64_t EncodedBefore() const { return owed_tokens + begun_tokens; }
  int64_t OwnBegin() const { return owed_tokens + carried_tokens; }
};

// The prompt of a request that finds `before`. `begin`: what stands before a user's turn that opens
// the conversation, else empty. `replies`: a reply follows, so no text is held.
Prompt MakePrompt(Unread before, const RequestInput& input, bool replies,
                  absl::Span<const TokenId> begin, const Tokenizer& tokenizer,
                  const PromptPlace& place = {});

// Leaves the last token to the next request, whose first token is scored by the logits it gives.
void KeepLast(Prompt& prompt);

// What is unread once `fed` tokens of `prompt` have been fed and no more will be. `next_told`: the
// score of the next one has been told, so it stays in the text.
Unread LeftUnread(const Prompt& prompt, int64_t fed, bool next_told = false);

}  // namespace sinkstream
