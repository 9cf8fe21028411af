#include "engine/text/chat_format.h"

#include <algorithm>
#include <utility>

#include "engine/text/unicode.h"
#include "engine/text/utf8.h"

namespace sinkstream {
namespace {

// What Python's str.strip takes away.
bool IsPythonSpace(uint32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
         c == 0x205F || c == 0x3000;
}

std::string_view Strip(std::string_view text, Trim trim) {
  size_t begin = text.size();
  size_t end = 0;
  for (size_t i = 0; i < text.size();) {
    const CodePoint character = FirstCodePoint(text.substr(i));
    if (!IsPythonSpace(character.value)) {
      begin = std::min(begin, i);
      end = i + character.size;
    }
    i += character.size;
  }
  if (!trim.start) begin = 0;
  if (!trim.end) end = text.size();
  return begin < end ? text.substr(begin, end - begin) : std::string_view();
}

// Joins text parts that touch. `previous`: the token that stands before, or kNoToken.
class PartEncoder {
 public:
  PartEncoder(const Tokenizer& tokenizer, TokenId previous)
      : tokenizer_(tokenizer), previous_(previous) {}

  void Add(std::string_view text) { text_ += text; }
  void Add(TokenId token) {
    if (tokenizer_.TakesSpaceBefore(token)) {
      text_.resize(text_.size() - WhiteSpaceAtEnd(text_));
    }
    EncodeText();
    tokens_.push_back(token);
  }
  void Add(const std::vector<ChatPart>& parts) {
    for (const ChatPart& part : parts) {
      std::visit([this](const auto& value) { Add(value); }, part);
    }
  }
  void AddTurn(const ChatRole& role, std::string_view text) {
    Add(role.prefix);
    Add(Strip(text, role.trim));
    Add(role.suffix);
  }
  // What is added next is encoded as if nothing stood before it.
  void BeginAnew() {
    EncodeText();
    begins_at_ = tokens_.size();
    previous_ = kNoToken;
  }
  std::vector<TokenId> Finish() {
    EncodeText();
    return std::move(tokens_);
  }

 private:
  void EncodeText() {
    if (text_.empty()) return;
    const TokenId previous = tokens_.size() == begins_at_ ? previous_ : tokens_.back();
    const std::vector<TokenId> ids = tokenizer_.Encode(std::exchange(text_, ""), previous);
    tokens_.insert(tokens_.end(), ids.begin(), ids.end());
  }

  const Tokenizer& tokenizer_;
  TokenId previous_;
  std::string text_;
  std::vector<TokenId> tokens_;
  size_t begins_at_ = 0;  // behind these tokens, `previous_` stands before a text
};

// What a text goes on behind: an id that the tokenizer does not know, since one that it knows may
// be an added token's.
TokenId TextToken(const Tokenizer& tokenizer) { return tokenizer.VocabSize(); }

// What a text behind `parts` has before it; `parts` may be empty and end in text.
TokenId LastToken(const std::vector<ChatPart>& parts, const Tokenizer& tokenizer) {
  const auto* const token = parts.empty() ? nullptr : std::get_if<TokenId>(&parts.back());
  return token != nullptr ? *token : TextToken(tokenizer);
}

// True if a text is encoded alike behind either token.
bool Alike(const Tokenizer& tokenizer, TokenId one, TokenId other) {
  return tokenizer.Encode("a", one) == tokenizer.Encode("a", other) &&
         tokenizer.Encode(" a", one) == tokenizer.Encode(" a", other);
}

bool BeginsWithToken(const std::vector<ChatPart>& parts) {
  return !parts.empty() && std::holds_alternative<TokenId>(parts.front());
}

}  // namespace

const std::vector<TokenId>& UserTurn::At(TurnPlace place) const {
  if (place == TurnPlace::kFirst && first) return *first;
  if (place == TurnPlace::kAfterSystem && after_system) return *after_system;
  return later;
}

std::vector<TokenId> ChatFormat::EncodeBegin(const Tokenizer& tokenizer,
                                             const std::optional<std::string>& system_text) const {
  PartEncoder encoder(tokenizer, kNoToken);
  encoder.Add(begin);
  if (begin_is_tokenizers) encoder.BeginAnew();
  const std::optional<std::string>& text = system_text.has_value() ? system_text : default_system;
  if (text && system) encoder.AddTurn(*system, *text);
  return encoder.Finish();
}

TurnPlace ChatFormat::PlaceOfFirst() const {
  return default_system ? TurnPlace::kAfterSystem : TurnPlace::kFirst;
}

UserTurn ChatFormat::EncodeUserTurn(const Tokenizer& tokenizer, std::string_view text) const {
  const auto encode = [&](const ChatRole& role, TokenId previous) {
    PartEncoder encoder(tokenizer, previous);
    encoder.AddTurn(role, text);
    encoder.Add(assistant.prefix);
    return encoder.Finish();
  };
  const TokenId reply_end = LastToken(assistant.suffix, tokenizer);
  UserTurn turn = {.later = encode(user, reply_end), .first = {}, .after_system = {}};
  const auto differs = [&](TokenId previous) {
    return !BeginsWithToken(user.prefix) && !Alike(tokenizer, previous, reply_end);
  };
  const bool alone = begin.empty() || begin_is_tokenizers;
  const TokenId first = alone ? kNoToken : LastToken(begin, tokenizer);
  if (differs(first)) turn.first = encode(user, first);
  if (!system) return turn;
  const TokenId system_end = LastToken(system->suffix, tokenizer);
  if (user_after_system || differs(system_end)) {
    turn.after_system = encode(user_after_system ? *user_after_system : user, system_end);
  }
  return turn;
}

std::vector<TokenId> ChatFormat::EncodeEndOfReply(const Tokenizer& tokenizer,
                                                  absl::Span<const TokenId> before) const {
  PartEncoder encoder(tokenizer, before.empty() ? TextToken(tokenizer) : before.back());
  encoder.Add(assistant.suffix);
  std::vector<TokenId> end = encoder.Finish();
  const auto special = std::find_if(end.begin(), end.end(),
                                    [&](TokenId token) { return tokenizer.IsSpecial(token); });
  for (size_t there = end.end() - special; there > 0; --there) {
    if (before.size() < there) continue;
    const auto tail = before.subspan(before.size() - there);
    if (!std::equal(tail.begin(), tail.end(), special)) continue;
    end.erase(end.begin(), special + static_cast<std::ptrdiff_t>(there));
    break;
  }
  return end;
}

}  // namespace sinkstream
