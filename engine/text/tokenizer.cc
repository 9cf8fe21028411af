#include "engine/text/tokenizer.h"

#include <array>
#include <cassert>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "engine/text/bpe.h"
#include "engine/text/byte_level.h"
#include "engine/text/json_fields.h"
#include "engine/text/pre_tokenizer.h"
#include "engine/text/utf8.h"

namespace sinkstream {
namespace {

using nlohmann::json;

constexpr int64_t kMaxVocabSize = 1 << 21;
constexpr size_t kMaxCachedWords = 1 << 14;
constexpr size_t kMaxCachedWordBytes = 64;

absl::Status Malformed(const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat("tokenizer: ", what));
}

// ---- The tokenizer
// -----------------------------------------------------------------------------------------------

struct TokenEntry {
  std::string bytes;  // empty for special tokens
  bool special = false;
};

class ByteLevelBpe final : public Tokenizer {
 public:
  // `whole_words`: with ignore_merges, the token of each word that is one; otherwise empty.
  ByteLevelBpe(PreTokenizer pre_tokenizer, BytePairEncoder encoder, std::vector<TokenEntry> tokens,
               absl::flat_hash_map<std::string, TokenId> whole_words)
      : pre_tokenizer_(std::move(pre_tokenizer)),
        encoder_(std::move(encoder)),
        tokens_(std::move(tokens)),
        whole_words_(std::move(whole_words)) {}

  std::vector<TokenId> Encode(std::string_view text) const override;

  std::string_view TokenBytes(TokenId token) const override {
    return token < VocabSize() ? std::string_view(tokens_[token].bytes) : std::string_view();
  }
  bool IsSpecial(TokenId token) const override {
    return token < VocabSize() && tokens_[token].special;
  }
  int32_t VocabSize() const override { return static_cast<int32_t>(tokens_.size()); }
  bool WordsEndTokens() const override { return pre_tokenizer_.CutsAfterWords(); }

 private:
  void EncodeWord(std::string_view word, BytePairEncoder::Scratch& scratch,
                  std::vector<TokenId>& tokens) const;

  const PreTokenizer pre_tokenizer_;
  const BytePairEncoder encoder_;
  const std::vector<TokenEntry> tokens_;
  const absl::flat_hash_map<std::string, TokenId> whole_words_;
};

void ByteLevelBpe::EncodeWord(std::string_view word, BytePairEncoder::Scratch& scratch,
                              std::vector<TokenId>& tokens) const {
  if (!whole_words_.empty()) {
    const auto found = whole_words_.find(absl::string_view(word.data(), word.size()));
    if (found != whole_words_.end()) {
      tokens.push_back(found->second);
      return;
    }
  }
  encoder_.Encode(word, scratch, tokens);
}

std::vector<TokenId> ByteLevelBpe::Encode(std::string_view text) const {
  assert(IsValidUtf8(text));
  struct Range {
    size_t begin, size;  // of `tokens`
  };
  std::vector<TokenId> tokens;
  tokens.reserve(text.size() / 4 + 1);
  // Words come again within a text: the cache lives as long as the call, so that no thread shares
  // it.
  absl::flat_hash_map<absl::string_view, Range> cache;
  BytePairEncoder::Scratch scratch;
  for (std::string_view word : pre_tokenizer_.Split(text)) {
    const absl::string_view key(word.data(), word.size());
    if (const auto found = cache.find(key); found != cache.end()) {
      const auto [begin, size] = found->second;
      for (size_t i = begin; i < begin + size; ++i) tokens.push_back(tokens[i]);
      continue;
    }
    const size_t begin = tokens.size();
    EncodeWord(word, scratch, tokens);
    if (word.size() <= kMaxCachedWordBytes && cache.size() < kMaxCachedWords) {
      cache.emplace(key, Range{begin, tokens.size() - begin});
    }
  }
  return tokens;
}

// ---- Reading tokenizer.json
// --------------------------------------------------------------------------------------

struct Vocabulary {
  absl::flat_hash_map<std::string, TokenId> ids;
  std::vector<TokenEntry> tokens;
};

absl::Status CheckModelOptions(const json& model) {
  if (TypeOf(model) != "BPE") {
    return Malformed(absl::StrCat("model ", TypeOf(model), " is not supported"));
  }
  for (const char* name : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    const json* affix = FindField(model, name);
    if (affix != nullptr && !affix->is_null() && *affix != "") {
      return Malformed(absl::StrCat("model BPE: ", name, " is not supported"));
    }
  }
  const json* dropout = FindField(model, "dropout");
  if (dropout != nullptr && !dropout->is_null() && *dropout != 0.0) {
    return Malformed("model BPE: dropout is not supported");
  }
  const json* fallback = FindField(model, "byte_fallback");
  if (fallback != nullptr && *fallback != false) {
    return Malformed("model BPE: byte_fallback is not supported");
  }
  return absl::OkStatus();
}

absl::Status CheckDecoder(const json& decoder) {
  const json* children = FindField(decoder, "decoders");
  const bool sequence_of_one = TypeOf(decoder) == "Sequence" && children != nullptr &&
                               children->is_array() && children->size() == 1;
  const json& only = sequence_of_one ? children->front() : decoder;
  if (TypeOf(only) == "ByteLevel") return absl::OkStatus();
  return Malformed(absl::StrCat("decoder ", TypeOf(only), " is not supported"));
}

absl::StatusOr<TokenId> ParseId(const json* id, const std::string& token) {
  if (id == nullptr || !id->is_number_integer() || id->get<int64_t>() < 0 ||
      id->get<int64_t>() >= kMaxVocabSize) {
    return Malformed(
        absl::StrCat("id of token \"", token, "\" is not an integer in [0, ", kMaxVocabSize, ")"));
  }
  return id->get<TokenId>();
}

absl::Status AddToken(const std::string& text, TokenId id, std::vector<bool>& taken,
                      Vocabulary& vocabulary) {
  if (static_cast<size_t>(id) >= vocabulary.tokens.size()) {
    vocabulary.tokens.resize(id + 1);
    taken.resize(id + 1);
  }
  if (taken[id]) return Malformed(absl::StrCat("two tokens have the id ", id));
  taken[id] = true;
  vocabulary.tokens[id].bytes = ByteLevelBytes(text).value_or(text);
  vocabulary.ids[text] = id;
  return absl::OkStatus();
}

absl::Status AddAddedToken(const json& added, std::vector<bool>& taken, Vocabulary& vocabulary) {
  const json* content = FindField(added, "content");
  if (content == nullptr || !content->is_string() || *content == "") {
    return Malformed("an added token has no content");
  }
  const auto& text = content->get_ref<const std::string&>();
  if (!HasBool(added, "special", true)) {
    return Malformed(absl::StrCat("added token \"", text, "\" is not special: not supported"));
  }
  const absl::StatusOr<TokenId> id = ParseId(FindField(added, "id"), text);
  if (!id.ok()) return id.status();
  const auto known = vocabulary.ids.find(text);
  if (known == vocabulary.ids.end()) {
    if (absl::Status status = AddToken(text, *id, taken, vocabulary); !status.ok()) return status;
  } else if (known->second != *id) {
    return Malformed(absl::StrCat("added token \"", text, "\" has another id in the vocabulary"));
  }
  vocabulary.tokens[*id] = {.bytes = "", .special = true};
  return absl::OkStatus();
}

absl::StatusOr<Vocabulary> ParseVocabulary(const json& model, const json* added_tokens) {
  Vocabulary vocabulary;
  std::vector<bool> taken;
  const json* vocab = FindField(model, "vocab");
  if (vocab == nullptr || !vocab->is_object() || vocab->empty()) {
    return Malformed("model BPE: vocab is missing or empty");
  }
  for (const auto& [text, value] : vocab->items()) {
    const absl::StatusOr<TokenId> id = ParseId(&value, text);
    if (!id.ok()) return id.status();
    if (absl::Status status = AddToken(text, *id, taken, vocabulary); !status.ok()) return status;
  }
  if (added_tokens == nullptr || added_tokens->is_null()) return vocabulary;
  if (!added_tokens->is_array()) return Malformed("added_tokens is not a list");
  for (const json& added : *added_tokens) {
    if (absl::Status status = AddAddedToken(added, taken, vocabulary); !status.ok()) return status;
  }
  return vocabulary;
}

absl::StatusOr<std::array<TokenId, 256>> FindByteTokens(const json& model,
                                                        const Vocabulary& vocabulary) {
  std::array<TokenId, 256> byte_tokens = {};
  bool complete = true;
  for (int byte = 0; byte < 256; ++byte) {
    const auto found = vocabulary.ids.find(ByteLevelCharacter(static_cast<uint8_t>(byte)));
    byte_tokens[byte] = found == vocabulary.ids.end() ? kNoToken : found->second;
    if (byte_tokens[byte] == kNoToken) {
      complete = false;
    } else if (vocabulary.tokens[byte_tokens[byte]].special) {
      return Malformed(absl::StrCat("special token ", byte_tokens[byte], " is a byte's token"));
    }
  }
  const json* unknown = FindField(model, "unk_token");
  if (!complete && unknown != nullptr && !unknown->is_null()) {
    return Malformed("model BPE: unk_token is not supported where bytes lack tokens");
  }
  return byte_tokens;
}

// Both forms of a merge: "left right" and ["left", "right"].
std::optional<std::pair<std::string, std::string>> ParsePair(const json& merge) {
  if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
    return std::pair(merge[0].get<std::string>(), merge[1].get<std::string>());
  }
  if (!merge.is_string()) return std::nullopt;
  const auto& text = merge.get_ref<const std::string&>();
  const size_t space = text.find(' ');
  if (space == std::string::npos || space != text.rfind(' ')) return std::nullopt;
  return std::pair(text.substr(0, space), text.substr(space + 1));
}

absl::Status AddMerges(const json& model, const Vocabulary& vocabulary, BytePairEncoder& encoder) {
  const json* merges = FindField(model, "merges");
  if (merges == nullptr || !merges->is_array()) return Malformed("model BPE: merges is missing");
  for (const json& merge : *merges) {
    if (merge.is_string() && merge.get_ref<const std::string&>().starts_with("#version")) continue;
    const auto pair = ParsePair(merge);
    if (!pair.has_value()) return Malformed(absl::StrCat("malformed merge ", merge.dump()));
    const auto left = vocabulary.ids.find(pair->first);
    const auto right = vocabulary.ids.find(pair->second);
    const auto merged = vocabulary.ids.find(pair->first + pair->second);
    const auto none = vocabulary.ids.end();
    if (left == none || right == none || merged == none) {
      return Malformed(absl::StrCat("merge ", merge.dump(), " names no token of the vocabulary"));
    }
    if (vocabulary.tokens[merged->second].special) {
      return Malformed(absl::StrCat("merge ", merge.dump(), " makes a special token"));
    }
    encoder.AddMerge(left->second, right->second, merged->second);
  }
  return absl::OkStatus();
}

absl::flat_hash_map<std::string, TokenId> WholeWords(const Vocabulary& vocabulary) {
  absl::flat_hash_map<std::string, TokenId> words;
  for (const auto& [text, id] : vocabulary.ids) {
    if (vocabulary.tokens[id].special) continue;
    if (auto bytes = ByteLevelBytes(text)) words.emplace(*std::move(bytes), id);
  }
  return words;
}

absl::StatusOr<std::unique_ptr<Tokenizer>> Build(const json& file) {
  const json null;
  const auto part = [&](const char* name) -> const json& {
    const json* field = FindField(file, name);
    return field == nullptr ? null : *field;
  };
  if (!part("normalizer").is_null()) {
    return Malformed(absl::StrCat("normalizer ", TypeOf(part("normalizer")), " is not supported"));
  }
  const json& model = part("model");
  if (absl::Status status = CheckModelOptions(model); !status.ok()) return status;
  if (absl::Status status = CheckDecoder(part("decoder")); !status.ok()) return status;
  absl::StatusOr<PreTokenizer> pre_tokenizer = PreTokenizer::Parse(part("pre_tokenizer"));
  if (!pre_tokenizer.ok()) return pre_tokenizer.status();
  absl::StatusOr<Vocabulary> vocabulary = ParseVocabulary(model, &part("added_tokens"));
  if (!vocabulary.ok()) return vocabulary.status();
  const auto byte_tokens = FindByteTokens(model, *vocabulary);
  if (!byte_tokens.ok()) return byte_tokens.status();
  BytePairEncoder encoder(*byte_tokens);
  if (absl::Status status = AddMerges(model, *vocabulary, encoder); !status.ok()) return status;
  absl::flat_hash_map<std::string, TokenId> whole_words;
  if (HasBool(model, "ignore_merges", true)) whole_words = WholeWords(*vocabulary);
  return std::make_unique<ByteLevelBpe>(*std::move(pre_tokenizer), std::move(encoder),
                                        std::move(vocabulary->tokens), std::move(whole_words));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Tokenizer>> ParseTokenizer(std::string_view tokenizer_json) {
  const json file = json::parse(tokenizer_json, nullptr, /*allow_exceptions=*/false);
  if (!file.is_object()) return Malformed("tokenizer.json is no JSON object");
  return Build(file);
}

}  // namespace sinkstream
