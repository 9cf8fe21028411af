#include "engine/text/vocabulary.h"

#include "absl/strings/str_cat.h"
#include "engine/text/json_fields.h"
#include "nlohmann/json.hpp"

namespace sinkstream {
namespace {

using nlohmann::json;

constexpr int64_t kMaxVocabSize = 1 << 21;

absl::StatusOr<TokenId> ParseId(const json* id, const std::string& token) {
  if (id == nullptr || !id->is_number_integer() || id->get<int64_t>() < 0 ||
      id->get<int64_t>() >= kMaxVocabSize) {
    return absl::InvalidArgumentError(
        absl::StrCat("id of token \"", token, "\" is not an integer in [0, ", kMaxVocabSize, ")"));
  }
  return id->get<TokenId>();
}

// The place of a token that is new in the vocabulary.
absl::StatusOr<VocabularyToken*> NewToken(const std::string& text, TokenId id,
                                          Vocabulary& vocabulary) {
  if (text.empty()) return absl::InvalidArgumentError("a token has no text");
  if (static_cast<size_t>(id) >= vocabulary.tokens.size()) vocabulary.tokens.resize(id + 1);
  VocabularyToken& token = vocabulary.tokens[id];
  if (!token.text.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("two tokens have the id ", id));
  }
  token.text = text;
  return &token;
}

absl::Status AddAddedToken(const json& added, Vocabulary& vocabulary) {
  const std::string* content = FindString(added, "content");
  if (content == nullptr || content->empty()) {
    return absl::InvalidArgumentError("an added token has no content");
  }
  const absl::StatusOr<TokenId> id = ParseId(FindField(added, "id"), *content);
  if (!id.ok()) return id.status();
  const auto known = vocabulary.ids.find(*content);
  if (known == vocabulary.ids.end()) {
    const auto token = NewToken(*content, *id, vocabulary);
    if (!token.ok()) return token.status();
  } else if (known->second != *id) {
    return absl::InvalidArgumentError(
        absl::StrCat("added token \"", *content, "\" has another id in the vocabulary"));
  }
  VocabularyToken& token = vocabulary.tokens[*id];
  token.added = true;
  token.special = HasBool(added, "special", true);
  token.normalized = HasBool(added, "normalized", true);
  token.takes_before = HasBool(added, "lstrip", true);
  token.takes_after = HasBool(added, "rstrip", true);
  if (!token.special && HasBool(added, "single_word", true)) {
    return absl::InvalidArgumentError(
        absl::StrCat("added token \"", *content, "\": single_word is not supported"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Vocabulary> ParseVocabulary(const json& model, const json& added_tokens) {
  Vocabulary vocabulary;
  const json* vocab = FindField(model, "vocab");
  if (vocab == nullptr || !vocab->is_object() || vocab->empty()) {
    return absl::InvalidArgumentError("model BPE: vocab is missing or empty");
  }
  for (const auto& [text, value] : vocab->items()) {
    const absl::StatusOr<TokenId> id = ParseId(&value, text);
    if (!id.ok()) return id.status();
    if (const auto token = NewToken(text, *id, vocabulary); !token.ok()) return token.status();
    vocabulary.ids[text] = *id;
  }
  if (added_tokens.is_null()) return vocabulary;
  if (!added_tokens.is_array()) return absl::InvalidArgumentError("added_tokens is not a list");
  for (const json& added : added_tokens) {
    if (absl::Status status = AddAddedToken(added, vocabulary); !status.ok()) return status;
  }
  return vocabulary;
}

}  // namespace sinkstream
