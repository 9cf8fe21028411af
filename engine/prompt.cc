#include "engine/prompt.h"

#include <utility>

namespace sinkstream {
namespace {

void Append(std::vector<TokenId>& tokens, absl::Span<const TokenId> more) {
  tokens.insert(tokens.end(), more.begin(), more.end());
}

// How many of `tokens` it takes to cover the first `bytes` bytes of their text.
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

// `text` behind `held`, as one text. Cut anew if that holds back too much.
SplitText Join(const std::string& held, SplitText text, const Tokenizer& tokenizer) {
  text.head.insert(0, held);
  if (text.has_boundary || text.head.size() <= kMaxHeldBytes) return text;
  return SplitAtStableBoundaries(tokenizer, text.head);
}

void AddText(const SplitText& text, bool replies, const Tokenizer& tokenizer, Prompt& prompt) {
  const bool all = text.has_boundary || replies;
  const auto head = all ? tokenizer.Encode(text.head) : std::vector<TokenId>();
  prompt.carried = TokensThatCover(prompt.held_before.size(), head, tokenizer);
  Append(prompt.tokens, head);
  Append(prompt.tokens, text.body);
  const std::string& end = text.has_boundary ? text.tail : text.head;
  if (!replies) {
    prompt.held_after = end;
  } else if (text.has_boundary) {
    Append(prompt.tokens, tokenizer.Encode(end));
  }
}

}  // namespace

Prompt MakePrompt(Unread before, const RequestInput& input, bool replies,
                  absl::Span<const TokenId> begin, const Tokenizer& tokenizer) {
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
  Append(prompt.tokens, input.tokens);
  return prompt;
}

Unread LeftUnread(const Prompt& prompt, int64_t fed) {
  const auto begin = prompt.tokens.begin();
  if (fed == static_cast<int64_t>(prompt.tokens.size())) return {{}, prompt.held_after};
  if (fed <= prompt.owed) return {{begin + fed, begin + prompt.owed}, prompt.held_before};
  const int64_t kept = prompt.owed + prompt.carried;
  if (fed < kept) return {{begin + fed, begin + kept}, ""};
  return {};
}

}  // namespace sinkstream
