#include "engine/text/stable_boundaries.h"

#include <algorithm>
#include <array>
#include <optional>

#include "engine/text/regex.h"
#include "engine/text/unicode.h"
#include "engine/text/utf8.h"

namespace sinkstream {
namespace {

enum class Kind { kLetter, kNumber, kOther };

Kind KindOf(std::string_view character) {
  static const Regex letter = *Regex::Compile("\\p{L}");
  static const Regex number = *Regex::Compile("\\p{N}");
  const char first = character.front();
  if ((first >= 'a' && first <= 'z') || (first >= 'A' && first <= 'Z')) return Kind::kLetter;
  if (first >= '0' && first <= '9') return Kind::kNumber;
  if (static_cast<unsigned char>(first) < 0x80) return Kind::kOther;
  std::string buffer;
  const std::string_view known = WithKnownCategories(character, buffer);
  if (Regex::Matches(letter, known).Next()) return Kind::kLetter;
  return Regex::Matches(number, known).Next() ? Kind::kNumber : Kind::kOther;
}

std::string_view CharacterFrom(std::string_view text, size_t begin) {
  return text.substr(begin, FirstCodePoint(text.substr(begin)).size);
}

bool IsBoundary(const Tokenizer& tokenizer, std::string_view text, size_t at) {
  return at > 0 && text[at] == ' ' && EndsWord(text, at) && tokenizer.IsStableCut(text, at);
}

struct Cuts {
  size_t first, last;
};

std::optional<Cuts> FindBoundaries(const Tokenizer& tokenizer, std::string_view text) {
  size_t first = text.find(' ');
  while (first != std::string_view::npos && !IsBoundary(tokenizer, text, first)) {
    first = text.find(' ', first + 1);
  }
  if (first == std::string_view::npos) return std::nullopt;
  size_t last = text.rfind(' ');
  while (!IsBoundary(tokenizer, text, last)) last = text.rfind(' ', last - 1);
  return Cuts{first, last};
}

// A place in (low, high] to cut a text without boundaries: the last stable cut, else the last
// character's beginning. Requires: high < text.size(), high - low >= 4.
size_t ForcedCut(const Tokenizer& tokenizer, std::string_view text, size_t low, size_t high) {
  const size_t last = CharacterBefore(text, high + 1);
  for (size_t at = last; at > low; at = CharacterBefore(text, at)) {
    if (tokenizer.IsStableCut(text, at)) return at;
  }
  return last;
}

std::optional<Cuts> FindCuts(const Tokenizer& tokenizer, std::string_view text) {
  const std::optional<Cuts> cuts = FindBoundaries(tokenizer, text);
  if (!cuts.has_value() && text.size() <= kMaxHeldBytes) return std::nullopt;
  const size_t first = cuts.has_value() ? cuts->first : text.size();
  const size_t last = cuts.has_value() ? cuts->last : 0;
  Cuts bounded{first, last};
  if (first > kMaxHeldBytes) {
    bounded.first = ForcedCut(tokenizer, text, kMaxHeldBytes / 2, kMaxHeldBytes);
  }
  if (text.size() - last > kMaxHeldBytes) {
    bounded.last =
        ForcedCut(tokenizer, text, text.size() - kMaxHeldBytes, text.size() - kMaxHeldBytes / 2);
  }
  bounded.first = std::min(bounded.first, bounded.last);
  return bounded;
}

TokenId LastOr(const std::vector<TokenId>& tokens, TokenId otherwise) {
  return tokens.empty() ? otherwise : tokens.back();
}

}  // namespace

bool Tokenizer::IsStableCut(std::string_view text, size_t at) const { return EndsWord(text, at); }

bool EndsWord(std::string_view text, size_t at) {
  const Kind before = KindOf(CharacterFrom(text, CharacterBefore(text, at)));
  return before != Kind::kOther && before != KindOf(CharacterFrom(text, at));
}

SplitText SplitAtStableBoundaries(const Tokenizer& tokenizer, std::string_view text) {
  SplitText split;
  const std::optional<Cuts> cuts = FindCuts(tokenizer, text);
  split.has_boundary = cuts.has_value();
  split.head = std::string(text.substr(0, cuts ? cuts->first : text.size()));
  const std::vector<TokenId> head = tokenizer.Encode(split.head);
  split.tokens = head.size();
  if (!cuts.has_value()) return split;
  const TokenId before_body = LastOr(head, kNoToken);
  split.body = tokenizer.Encode(text.substr(cuts->first, cuts->last - cuts->first), before_body);
  split.tail = std::string(text.substr(cuts->last));
  split.tokens += split.body.size();
  split.tokens += tokenizer.Encode(split.tail, LastOr(split.body, before_body)).size();
  return split;
}

}  // namespace sinkstream
