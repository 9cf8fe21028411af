#include "engine/session/prompt.h"

#include <algorithm>
#include <string_view>
#include <utility>

namespace sinkstream {
namespace {

void Append(std::vector<TokenId>& tokens, absl::Span<const TokenId> more) {
  tokens.insert(tokens.end(), more.begin(), more.end());
}

size_t Bytes(absl::Span<const TokenId> tokens, const Tokenizer& tokenizer) {
  size_t bytes = 0;
  for (const TokenId token : tokens) bytes += tokenizer.TokenBytes(token).size();
  return bytes;
}

// How many of `tokens` it takes to cover the first `bytes` bytes of their text; it may be one more.
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

// Behind what `prompt` has, which is behind `previous`.
void AppendText(std::string_view text, const Tokenizer& tokenizer, TokenId previous,
                Prompt& prompt) {
  if (!prompt.tokens.empty()) previous = prompt.tokens.back();
  Append(prompt.tokens, tokenizer.Encode(text, previous));
}

// Adds the text's own tokens, all of them if a reply follows.
void AddText(const JoinedText& joined, bool replies, const Tokenizer& tokenizer, TokenId previous,
             Prompt& prompt) {
  const SplitText& text = joined.split;
  const TokenId before = prompt.tokens.empty() ? previous : prompt.tokens.back();
  if (text.has_boundary || replies) AppendText(text.head, tokenizer, previous, prompt);
  Append(prompt.tokens, text.body);
  std::string_view carried = prompt.held_before;
  if (replies) {
    AppendText(text.tail, tokenizer, previous, prompt);
  } else {
    prompt.held_after = text.has_boundary ? text.tail : text.head;
    prompt.held_rest = prompt.held_after.substr(0, joined.held_in_tail);
    carried.remove_suffix(joined.held_in_tail);
  }
  // A text's tokens may have other bytes than the text: it is normalized, a space is put before it.
  const auto own = absl::MakeConstSpan(prompt.tokens).subspan(prompt.EncodedBefore());
  prompt.carried_tokens = prompt.begun_tokens;
  if (own.empty() || carried.empty()) return;
  const size_t to_cover = Bytes(tokenizer.Encode(carried, before), tokenizer);
  prompt.carried_tokens += TokensThatCover(to_cover, own, tokenizer);
}

}  // namespace

Prompt MakePrompt(Unread before, const RequestInput& input, bool replies,
                  absl::Span<const TokenId> begin, const Tokenizer& tokenizer,
                  const PromptPlace& place) {
  Prompt prompt;
  prompt.tokens = std::move(before.owed);
  prompt.begun_tokens = before.begun;
  prompt.owed_tokens = static_cast<int64_t>(prompt.tokens.size()) - prompt.begun_tokens;
  prompt.held_before = std::move(before.held);
  if (input.text) {
    const JoinedText text = Join(prompt.held_before, *input.text, tokenizer);
    AddText(text, replies, tokenizer, place.previous, prompt);
    return prompt;
  }
  Append(prompt.tokens, begin);
  AppendText(prompt.held_before, tokenizer, place.previous, prompt);
  prompt.carried_tokens = static_cast<int64_t>(prompt.tokens.size()) - prompt.owed_tokens;
  Append(prompt.tokens, input.user_turn ? input.user_turn->At(place.turn) : input.tokens);
  return prompt;
}

void KeepLast(Prompt& prompt) { prompt.kept_tokens = prompt.tokens.empty() ? 0 : 1; }

Unread LeftUnread(const Prompt& prompt, int64_t fed, bool next_told) {
  const auto begin = prompt.tokens.begin();
  const auto all = static_cast<int64_t>(prompt.tokens.size());
  if (fed == all - prompt.kept_tokens) {
    return {{begin + fed, prompt.tokens.end()}, prompt.held_after};
  }
  const int64_t stay = next_told ? fed + 1 : fed;
  const int64_t encoded_before = prompt.EncodedBefore();
  const bool held_stays = stay <= encoded_before;
  const int64_t end = held_stays ? encoded_before : std::max(prompt.OwnBegin(), stay);
  Unread left = {{begin + fed, begin + end}, held_stays ? prompt.held_before : prompt.held_rest};
  // Else it is what opens the conversation.
  const bool is_text = prompt.begun_tokens > 0 || !prompt.held_before.empty();
  if (is_text) left.begun = end - std::max(prompt.owed_tokens, stay);
  return left;
}

}  // namespace sinkstream
