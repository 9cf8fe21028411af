#include "engine/text/subword_tokenizer.h"

#include <algorithm>
#include <cassert>
#include <deque>
#include <utility>

#include "engine/text/stable_boundaries.h"
#include "engine/text/unicode.h"
#include "engine/text/utf8.h"

namespace sinkstream {
namespace {

constexpr size_t kMaxCachedWords = 1 << 14;
constexpr size_t kMaxCachedWordBytes = 64;
// How far around a cut added tokens are looked for; longer ones leave no stable cuts.
constexpr size_t kSurroundings = 1024;

// `text` around `at`, from and to whole characters.
std::pair<std::string_view, std::string_view> Surroundings(std::string_view text, size_t at) {
  size_t begin = at - std::min(at, kSurroundings);
  while (begin < at && IsUtf8Continuation(text[begin])) ++begin;
  size_t end = std::min(text.size(), at + kSurroundings);
  while (end < text.size() && IsUtf8Continuation(text[end])) ++end;
  return {text.substr(begin, at - begin), text.substr(at, end - at)};
}

}  // namespace

// Encodes one text.
class SubwordTokenizer::Encoder {
 public:
  Encoder(const SubwordTokenizer& tokenizer, std::string_view text)
      : tokenizer_(tokenizer), parts_(tokenizer.parts_) {
    tokens_.reserve(text.size() / 4 + 1);
  }

  std::vector<TokenId> Encode(std::string_view text, TokenId previous) {
    Place run_place = previous == kNoToken ? Place::kStart : Place::kWithinText;
    Place piece_place = run_place;
    if (tokenizer_.Knows(previous)) {
      const Token& token = tokenizer_.At(previous);
      if (token.takes_after) text.remove_prefix(WhiteSpaceAtBegin(text));
      if (token.ends_run) run_place = Place::kAfterToken;
      if (token.ends_piece) piece_place = Place::kAfterToken;
    }
    for (const AddedTokens::Piece& piece : parts_.raw_added.Find(text)) {
      if (piece.token != kNoToken) {
        tokens_.push_back(piece.token);
      } else {
        AddRun(piece.text, run_place, piece_place);
      }
      run_place = piece_place = Place::kAfterToken;
    }
    return std::move(tokens_);
  }

 private:
  void AddRun(std::string_view run, Place run_place, Place piece_place) {
    const std::string normalized = parts_.normalizer.Apply(run, run_place);
    for (const AddedTokens::Piece& piece : parts_.normalized_added.Find(normalized)) {
      if (piece.token != kNoToken) {
        tokens_.push_back(piece.token);
      } else {
        AddPiece(std::string(piece.text), piece_place);
      }
      piece_place = Place::kAfterToken;
    }
  }

  void AddPiece(std::string piece, Place place) {
    pieces_.push_back(std::move(piece));
    for (const std::string_view word : parts_.pre_tokenizer.Split(pieces_.back(), place)) {
      AddWord(word);
    }
  }

  void AddWord(std::string_view word) {
    if (!parts_.whole_words.empty()) {
      const auto found = parts_.whole_words.find(absl::string_view(word.data(), word.size()));
      if (found != parts_.whole_words.end()) {
        tokens_.push_back(found->second);
        return;
      }
    }
    if (!parts_.pairs) return AddModelTokens(word);
    size_t begin = 0;
    for (size_t at = FirstCodePoint(word).size; at < word.size();
         at += FirstCodePoint(word.substr(at)).size) {
      if (!tokenizer_.SeparatesSymbols(word, at)) continue;
      AddModelTokens(word.substr(begin, at - begin));
      begin = at;
    }
    AddModelTokens(word.substr(begin));
  }

  // Words come again within a text: the cache lives as long as the call, so that no thread shares
  // it.
  void AddModelTokens(std::string_view word) {
    const absl::string_view key(word.data(), word.size());
    if (const auto found = cache_.find(key); found != cache_.end()) {
      const auto [begin, size] = found->second;
      for (size_t i = begin; i < begin + size; ++i) tokens_.push_back(tokens_[i]);
      return;
    }
    const size_t begin = tokens_.size();
    if (parts_.unigram) {
      parts_.unigram->Append(word, tokens_);
    } else {
      symbols_.clear();
      parts_.alphabet->Append(word, symbols_);
      parts_.merges.Apply(symbols_, scratch_, tokens_);
    }
    if (word.size() <= kMaxCachedWordBytes && cache_.size() < kMaxCachedWords) {
      cache_.emplace(key, Range{begin, tokens_.size() - begin});
    }
  }

  struct Range {
    size_t begin, size;  // of tokens_
  };

  const SubwordTokenizer& tokenizer_;
  const Parts& parts_;
  std::vector<TokenId> tokens_;
  std::deque<std::string> pieces_;  // cache_ looks at them
  absl::flat_hash_map<absl::string_view, Range> cache_;
  std::vector<TokenId> symbols_;
  BytePairMerges::Scratch scratch_;
};

std::vector<TokenId> SubwordTokenizer::Encode(std::string_view text, TokenId previous) const {
  assert(IsValidUtf8(text));
  return Encoder(*this, text).Encode(text, previous);
}

std::string_view SubwordTokenizer::TokenBytes(TokenId token) const {
  return Knows(token) ? std::string_view(At(token).bytes) : std::string_view();
}

std::string SubwordTokenizer::FirstTokenBytes(TokenId token) const {
  const auto found = parts_.first_bytes.find(token);
  return found != parts_.first_bytes.end() ? found->second : std::string(TokenBytes(token));
}

bool SubwordTokenizer::SeparatesSymbols(std::string_view word, size_t at) const {
  const uint32_t left = FirstCodePoint(word.substr(CharacterBefore(word, at))).value;
  const uint32_t right = FirstCodePoint(word.substr(at)).value;
  return parts_.pairs && !parts_.pairs->Contains(left, right) &&
         parts_.alphabet->CutsBetween(left, right);
}

bool SubwordTokenizer::CutsAt(std::string_view text, size_t at) const {
  switch (parts_.pre_tokenizer.KnownCuts()) {
    case PreTokenizer::Cuts::kUnknown:
      return false;
    case PreTokenizer::Cuts::kBeforeSpaces:
      return text[at] == ' ' && EndsWord(text, at);
    case PreTokenizer::Cuts::kAfterWords:
      return EndsWord(text, at);
    case PreTokenizer::Cuts::kLocal:
      break;
  }
  if (!parts_.pairs) return false;
  const size_t before = CharacterBefore(text, at);
  const size_t behind = at + FirstCodePoint(text.substr(at)).size;
  // An added token behind the cut may take white space before it.
  if (IsWhiteSpace(FirstCodePoint(text.substr(before)).value)) return false;
  // Neither character changes, but for spaces.
  std::string pair =
      parts_.normalizer.Apply(text.substr(before, behind - before), Place::kWithinText);
  if (parts_.pre_tokenizer.HasMetaspace()) pair = ReplaceAll(pair, " ", kMetaspace);
  return SeparatesSymbols(pair, at - before);
}

bool SubwordTokenizer::AddedTokenMayReach(std::string_view text, size_t at) const {
  if (parts_.raw_added.empty() && parts_.normalized_added.empty()) return false;
  const auto [left, right] = Surroundings(text, at);
  const std::string_view both = text.substr(left.data() - text.data(), left.size() + right.size());
  if (parts_.raw_added.MayReach(both, left.size())) return true;
  if (parts_.normalized_added.empty()) return false;
  const std::string before = parts_.normalizer.Apply(left, Place::kWithinText);
  const std::string behind = parts_.normalizer.Apply(right, Place::kWithinText);
  return parts_.normalized_added.MayReach(before + behind, before.size());
}

bool SubwordTokenizer::IsStableCut(std::string_view text, size_t at) const {
  return parts_.has_stable_cuts && parts_.normalizer.IsBoundary(text, at) && CutsAt(text, at) &&
         !AddedTokenMayReach(text, at);
}

}  // namespace sinkstream
