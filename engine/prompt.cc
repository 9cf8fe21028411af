#include "engine/prompt.h"

#include <algorithm>
#include <utility>

namespace sinkstream {
namespace {

void Append(std::vector<TokenId>& tokens, absl::Span<const TokenId> more) {
  tokens.insert(tokens.end(), more.begin(), more.end());
}

// How many of `tokens` it takes to cover the first `bytes` bytes of their text. Bytes that the
// vocabulary lacks have no token: then it may be more than it takes.
int64_t TokensThatCover(size_t bytes, absl::Span<const TokenId> tokens,
                        const Tokenizer& tokenizer) {
  size_t covered = 0;
  int64_t count = 0;
  for (const TokenId token : tokens) {
    if (covered >= bytes) break;
    covered += tokenizer.TokenBytes(token).size();
    ++count;
  }
  return count;
}

struct JoinedText {
  SplitText split;
  size_t held_in_tail = 0;  // of what was held before, so many bytes begin the tail
};

// `text` behind `held`, as one text. Cut anew if that holds back too much.
JoinedText Join(const std::string& held, SplitText text, const Tokenizer& tokenizer) {
  text.head.insert(0, held);
  if (text.has_boundary || text.head.size() <= kMaxHeldBytes) return {std::move(text), 0};
  JoinedText joined{SplitAtStableBoundaries(tokenizer, text.head), 0};
  const size_t tail_begins = text.head.size() - joined.split.tail.size();
  if (held.size() > tail_begins) joined.held_in_tail = held.size() - tail_begins;
  return joined;
}

// Adds the text's own tokens, all of them if a reply follows.
void AddText(const JoinedText& joined, bool replies, const Tokenizer& tokenizer, Prompt& prompt) {
  const SplitText& text = joined.split;
  if (text.has_boundary || replies) Append(prompt.tokens, tokenizer.Encode(text.head));
  Append(prompt.tokens, text.body);
  size_t to_cover = prompt.held_before.size();
  if (replies) {
    Append(prompt.tokens, tokenizer.Encode(text.tail));
  } else {
    prompt.held_after = text.has_boundary ? text.tail : text.head;
    prompt.held_rest = prompt.held_after.substr(0, joined.held_in_tail);
    to_cover -= joined.held_in_tail;
  }
  const auto own = absl::MakeConstSpan(prompt.tokens).subspan(prompt.owed);
  prompt.carried = TokensThatCover(to_cover, own, tokenizer);
}

}  // namespace

Prompt MakePrompt(Unread before, const RequestInput& input, bool replies,
                  absl::Span<const TokenId> begin, const Tokenizer& tokenizer, TurnPlace place) {
  Prompt prompt;
  prompt.tokens = std::move(before.owed);
  prompt.owed = static_cast<int64_t>(prompt.tokens.size());
  prompt.held_before = std::move(before.held);
  if (input.text) {
    AddText(Join(prompt.held_before, *input.text, tokenizer), replies, tokenizer, prompt);
    return prompt;
  }
  Append(prompt.tokens, begin);
  Append(prompt.tokens, tokenizer.Encode(prompt.held_before));
  prompt.carried = static_cast<int64_t>(prompt.tokens.size()) - prompt.owed;
  Append(prompt.tokens, input.user_turn ? input.user_turn->At(place) : input.tokens);
  return prompt;
}

Unread LeftUnread(const Prompt& prompt, int64_t fed) {
  const auto begin = prompt.tokens.begin();
  if (fed == static_cast<int64_t>(prompt.tokens.size())) return {{}, prompt.held_after};
  if (fed <= prompt.owed) return {{begin + fed, begin + prompt.owed}, prompt.held_before};
  const int64_t kept = prompt.owed + prompt.carried;
  return {{begin + std::min(fed, kept), begin + kept}, prompt.held_rest};
}

}  // namespace sinkstream
