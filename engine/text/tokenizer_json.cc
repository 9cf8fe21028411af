#include "engine/text/tokenizer_json.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/text/byte_level.h"
#include "engine/text/decoder.h"
#include "engine/text/json_document.h"
#include "engine/text/json_fields.h"
#include "engine/text/stable_boundaries.h"
#include "engine/text/subword_tokenizer.h"
#include "engine/text/utf8.h"
#include "engine/text/vocabulary.h"
#include "nlohmann/json.hpp"

namespace sinkstream {
namespace {

using nlohmann::json;

// Longer ones than any that is in use; stable cuts look no farther (subword_tokenizer.cc).
constexpr size_t kMaxAddedTokenBytes = 1000;

absl::Status Error(const std::string& what) { return absl::InvalidArgumentError(what); }

absl::Status CheckModelOptions(const json& model) {
  if (TypeOf(model) == "Unigram") return absl::OkStatus();
  if (TypeOf(model) != "BPE") {
    return Error(absl::StrCat("model ", TypeOf(model), " is not supported"));
  }
  for (const char* name : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    const json* affix = FindField(model, name);
    if (affix != nullptr && !affix->is_null() && *affix != "") {
      return Error(absl::StrCat("model BPE: ", name, " is not supported"));
    }
  }
  const json* dropout = FindField(model, "dropout");
  if (dropout != nullptr && !dropout->is_null() && *dropout != 0.0) {
    return Error("model BPE: dropout is not supported");
  }
  return absl::OkStatus();
}

// Puts a tokenizer together from what the components' files have read.
class Builder {
 public:
  Builder(const json& model, Vocabulary vocabulary, Decoder decoder, SubwordTokenizer::Parts parts)
      : model_(model),
        vocabulary_(std::move(vocabulary)),
        decoder_(std::move(decoder)),
        parts_(std::move(parts)) {}

  absl::StatusOr<std::unique_ptr<Tokenizer>> Build() {
    if (parts_.pre_tokenizer.IsByteLevel() != decoder_.IsByteLevel()) {
      return Error("ByteLevel must be both in the pre_tokenizer and the decoder, or in neither");
    }
    AddTokens();
    AddAddedTokens();
    if (TypeOf(model_) == "Unigram") return BuildUnigram();
    absl::Status status = decoder_.IsByteLevel() ? AddByteAlphabet() : AddCharacterAlphabet();
    if (status.ok()) status = AddMerges();
    if (!status.ok()) return status;
    if (HasBool(model_, "ignore_merges", true)) AddWholeWords();
    if (!parts_.whole_words.empty()) parts_.pairs.reset();
    return std::make_unique<SubwordTokenizer>(std::move(parts_));
  }

 private:
  void AddTokens() {
    parts_.replaces_broken_bytes = decoder_.HasByteFallback();
    parts_.tokens.resize(vocabulary_.tokens.size());
    for (size_t id = 0; id < parts_.tokens.size(); ++id) {
      const VocabularyToken& from = vocabulary_.tokens[id];
      SubwordTokenizer::Token& to = parts_.tokens[id];
      to.special = from.special;
      to.takes_before = from.takes_before;
      to.takes_after = from.takes_after;
      to.ends_piece = from.added;
      to.ends_run = from.added && !from.normalized;
      if (from.special || from.text.empty()) continue;
      // The package decodes what it found in normalized text as it found it.
      const std::string text = from.normalized ? Normalized(from.text) : from.text;
      to.bytes = decoder_.Bytes(text);
      std::string first = decoder_.FirstBytes(text);
      if (first != to.bytes) {
        parts_.first_bytes.emplace(static_cast<TokenId>(id), std::move(first));
      }
    }
  }

  std::string Normalized(const std::string& text) const {
    return parts_.normalizer.Apply(text, Place::kStart);
  }

  void AddAddedTokens() {
    std::vector<AddedToken> raw;
    std::vector<AddedToken> normalized;
    parts_.has_stable_cuts = true;
    for (size_t id = 0; id < vocabulary_.tokens.size(); ++id) {
      const VocabularyToken& token = vocabulary_.tokens[id];
      if (!token.added || token.special) continue;
      const std::string content = token.normalized ? Normalized(token.text) : token.text;
      (token.normalized ? normalized : raw)
          .push_back({static_cast<TokenId>(id), content, token.takes_before, token.takes_after});
      if (MayHideCut(token)) parts_.has_stable_cuts = false;
    }
    parts_.raw_added = AddedTokens(std::move(raw));
    parts_.normalized_added = AddedTokens(std::move(normalized));
  }

  // True if a cut before a space may be within the token, or change what is behind it, and the text
  // around the cut need not show it.
  bool MayHideCut(const VocabularyToken& token) const {
    const std::string_view text = token.text;
    if (text.size() > kMaxAddedTokenBytes) return true;
    for (size_t at = text.find(' ', 1); at < text.size(); at = text.find(' ', at + 1)) {
      if (EndsWord(text, at)) return true;
    }
    const std::string before_space = token.text + " ";
    const bool changes_what_follows =
        token.takes_after || parts_.normalizer.Prepends() || parts_.pre_tokenizer.Prepends();
    return changes_what_follows && EndsWord(before_space, text.size());
  }

  // The token of the model for `text`, unless it is special: text does not become those.
  TokenId Find(const std::string& text) const {
    const auto found = vocabulary_.ids.find(text);
    if (found == vocabulary_.ids.end()) return kNoToken;
    return vocabulary_.tokens[found->second].special ? kNoToken : found->second;
  }

  absl::Status AddByteAlphabet() {
    std::array<TokenId, 256> tokens{};
    bool complete = true;
    for (int byte = 0; byte < 256; ++byte) {
      const std::string text = ByteLevelCharacter(static_cast<uint8_t>(byte));
      tokens[byte] = Find(text);
      if (tokens[byte] != kNoToken) continue;
      complete = false;
      if (vocabulary_.ids.contains(text)) {
        return Error(
            absl::StrCat("special token ", vocabulary_.ids.at(text), " is a byte's token"));
      }
    }
    for (const char* option : {"unk_token", "byte_fallback"}) {
      const json* value = FindField(model_, option);
      if (!complete && value != nullptr && !value->is_null() && *value != false) {
        return Error(
            absl::StrCat("model BPE: ", option, " is not supported where bytes lack tokens"));
      }
    }
    parts_.alphabet = std::make_unique<ByteAlphabet>(tokens);
    return absl::OkStatus();
  }

  std::array<TokenId, 256> FallbackTokens() const {
    std::array<TokenId, 256> tokens{};
    const bool fallback = HasBool(model_, "byte_fallback", true);
    for (int byte = 0; byte < 256; ++byte) {
      tokens[byte] = fallback ? Find(ByteToken(static_cast<uint8_t>(byte))) : kNoToken;
    }
    return tokens;
  }

  // So text goes on behind it.
  void TextBecomes(TokenId unknown) {
    parts_.tokens[unknown].ends_run = parts_.tokens[unknown].ends_piece = false;
  }

  absl::StatusOr<std::unique_ptr<Tokenizer>> BuildUnigram() {
    if (decoder_.IsByteLevel()) return Error("model Unigram with ByteLevel is not supported");
    const json* unknown = FindField(model_, "unk_id");
    const json& vocab = *FindField(model_, "vocab");
    if (unknown == nullptr || !unknown->is_number_unsigned() || *unknown >= vocab.size()) {
      return Error("model Unigram: unk_id is no token of the vocabulary");
    }
    std::vector<Unigram::Piece> pieces;
    double lowest = 0;
    for (size_t id = 0; id < vocab.size(); ++id) {
      const auto score = vocab[id][1].get<double>();
      lowest = id == 0 ? score : std::min(lowest, score);
      const auto& text = vocab[id][0].get_ref<const std::string&>();
      if (Find(text) != kNoToken) pieces.push_back({text, static_cast<TokenId>(id), score});
    }
    constexpr double kUnknownPenalty = 10;
    TextBecomes(unknown->get<TokenId>());
    parts_.unigram = std::make_unique<Unigram>(pieces, unknown->get<TokenId>(),
                                               lowest - kUnknownPenalty, FallbackTokens());
    return std::make_unique<SubwordTokenizer>(std::move(parts_));
  }

  absl::Status AddCharacterAlphabet() {
    CharacterAlphabet::Parts alphabet;
    for (const auto& [text, id] : vocabulary_.ids) {
      const CodePoint first = FirstCodePoint(text);
      if (first.size == text.size() && Find(text) != kNoToken) {
        alphabet.characters[first.value] = id;
      }
    }
    alphabet.bytes = FallbackTokens();
    if (const std::string* unknown = FindString(model_, "unk_token")) {
      const auto found = vocabulary_.ids.find(*unknown);
      if (found == vocabulary_.ids.end()) {
        return Error(absl::StrCat("model BPE: unk_token ", *unknown, " is not in the vocabulary"));
      }
      alphabet.unknown = found->second;
      TextBecomes(alphabet.unknown);
    }
    alphabet.fuse_unknown = HasBool(model_, "fuse_unk", true);
    parts_.alphabet = std::make_unique<CharacterAlphabet>(std::move(alphabet));
    parts_.pairs.emplace();
    return absl::OkStatus();
  }

  // Both forms of a merge: "left right" and ["left", "right"].
  static std::optional<std::pair<std::string, std::string>> ParsePair(const json& merge) {
    if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
      return std::pair(merge[0].get<std::string>(), merge[1].get<std::string>());
    }
    if (!merge.is_string()) return std::nullopt;
    const auto& text = merge.get_ref<const std::string&>();
    const size_t space = text.find(' ');
    if (space == std::string::npos || space != text.rfind(' ')) return std::nullopt;
    return std::pair(text.substr(0, space), text.substr(space + 1));
  }

  absl::Status AddMerges() {
    const json* merges = FindField(model_, "merges");
    if (merges == nullptr || !merges->is_array()) return Error("model BPE: merges is missing");
    for (const json& merge : *merges) {
      const std::string* text = merge.get_ptr<const std::string*>();
      if (text != nullptr && text->starts_with("#version")) continue;
      const auto pair = ParsePair(merge);
      if (!pair.has_value()) return Error(absl::StrCat("malformed merge ", merge.dump()));
      if (!AddMerge(pair->first, pair->second)) {
        return Error(absl::StrCat("merge ", merge.dump(), " names no token of the vocabulary"));
      }
    }
    return absl::OkStatus();
  }

  // Of merges that make a special token none is taken: text would become that token.
  bool AddMerge(const std::string& left, const std::string& right) {
    const auto none = vocabulary_.ids.end();
    const auto left_id = vocabulary_.ids.find(left);
    const auto right_id = vocabulary_.ids.find(right);
    const auto merged = vocabulary_.ids.find(left + right);
    if (left_id == none || right_id == none || merged == none) return false;
    if (vocabulary_.tokens[merged->second].special) return true;
    parts_.merges.Add(left_id->second, right_id->second, merged->second);
    if (!parts_.pairs) return true;
    // A merge of bytes' tokens joins characters that its text does not show.
    const bool of_bytes = ByteOfToken(left).has_value() || ByteOfToken(right).has_value();
    of_bytes ? parts_.pairs.reset() : parts_.pairs->AddFrom(left + right);
    return true;
  }

  void AddWholeWords() {
    for (const auto& [text, id] : vocabulary_.ids) {
      if (vocabulary_.tokens[id].special) continue;
      auto word = decoder_.IsByteLevel() ? ByteLevelBytes(text) : std::optional(text);
      if (word.has_value()) parts_.whole_words.emplace(*std::move(word), id);
    }
  }

  const json& model_;
  const Vocabulary vocabulary_;
  const Decoder decoder_;
  SubwordTokenizer::Parts parts_;
};

absl::StatusOr<std::unique_ptr<Tokenizer>> Parse(const json& file) {
  const json null;
  const auto part = [&](const char* name) -> const json& {
    const json* field = FindField(file, name);
    return field == nullptr ? null : *field;
  };
  if (absl::Status status = CheckModelOptions(part("model")); !status.ok()) return status;
  absl::StatusOr<Normalizer> normalizer = Normalizer::Parse(part("normalizer"));
  if (!normalizer.ok()) return normalizer.status();
  absl::StatusOr<PreTokenizer> pre_tokenizer = PreTokenizer::Parse(part("pre_tokenizer"));
  if (!pre_tokenizer.ok()) return pre_tokenizer.status();
  if (pre_tokenizer->PrependsFirst() && normalizer->MayMoveStart()) {
    return Error(
        "pre_tokenizer Metaspace: prepend_scheme first is supported behind a normalizer Replace "
        "only of one character by some");
  }
  absl::StatusOr<Decoder> decoder = Decoder::Parse(part("decoder"));
  if (!decoder.ok()) return decoder.status();
  absl::StatusOr<Vocabulary> vocabulary = ParseVocabulary(part("model"), part("added_tokens"));
  if (!vocabulary.ok()) return vocabulary.status();
  SubwordTokenizer::Parts parts;
  parts.normalizer = *std::move(normalizer);
  parts.pre_tokenizer = *std::move(pre_tokenizer);
  return Builder(part("model"), *std::move(vocabulary), *std::move(decoder), std::move(parts))
      .Build();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Tokenizer>> ParseTokenizer(std::string_view tokenizer_json) {
  const absl::StatusOr<json> file = ParseJsonDocument(tokenizer_json);
  if (!file.ok()) {
    return Error(absl::StrCat("tokenizer: tokenizer.json ", std::string(file.status().message())));
  }
  if (!file->is_object()) return Error("tokenizer: tokenizer.json is no JSON object");
  auto tokenizer = Parse(*file);
  if (tokenizer.ok()) return tokenizer;
  return Error(absl::StrCat("tokenizer: ", std::string(tokenizer.status().message())));
}

}  // namespace sinkstream
