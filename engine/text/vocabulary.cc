#include "engine/text/vocabulary.h"

#include "absl/strings/str_cat.h"
#include "engine/text/json_fields.h"
#include "engine/text/unicode.h"
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
  if (token.special) return absl::OkStatus();
  const auto refused = [&](const char* option) {
    return absl::InvalidArgumentError(
        absl::StrCat("added token \"", *content, "\": ", option, " is not supported"));
  };
  if (HasBool(added, "single_word", true)) return refused("single_word");
  // Each of a run of them would take the whole run: quadratic time.
  if (WhiteSpaceAtBegin(*content) == content->size() && (token.takes_before || token.takes_after)) {
    return refused("lstrip or rstrip of white space alone");
  }
  return absl::OkStatus();
}

absl::Status AddModelToken(const std::string& text, const json& id, Vocabulary& vocabulary) {
  const absl::StatusOr<TokenId> parsed = ParseId(&id, text);
  if (!parsed.ok()) return parsed.status();
  if (const auto token = NewToken(text, *parsed, vocabulary); !token.ok()) return token.status();
  vocabulary.ids[text] = *parsed;
  return absl::OkStatus();
}

// BPE's: an object of ids by text.
absl::Status AddTokensWithIds(const json& vocab, Vocabulary& vocabulary) {
  for (const auto& [text, id] : vocab.items()) {
    if (absl::Status status = AddModelToken(text, id, vocabulary); !status.ok()) return status;
  }
  return absl::OkStatus();
}

// Unigram's: a list of texts and scores, by id.
absl::Status AddTokensWithScores(const json& vocab, Vocabulary& vocabulary) {
  for (size_t id = 0; id < vocab.size(); ++id) {
    const json& piece = vocab[id];
    if (!piece.is_array() || piece.size() != 2 || !piece[0].is_string() || !piece[1].is_number()) {
      return absl::InvalidArgumentError(absl::StrCat("token ", id, " is not a text and a score"));
    }
    const auto& text = piece[0].get_ref<const std::string&>();
    if (vocabulary.ids.contains(text)) {
      return absl::InvalidArgumentError(absl::StrCat("token \"", text, "\" is there twice"));
    }
    if (absl::Status status = AddModelToken(text, id, vocabulary); !status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Vocabulary> ParseVocabulary(const json& model, const json& added_tokens) {
  Vocabulary vocabulary;
  const std::string type = TypeOf(model);
  const json* vocab = FindField(model, "vocab");
  const bool scored = type == "Unigram";
  if (vocab == nullptr || vocab->empty() || !(scored ? vocab->is_array() : vocab->is_object())) {
    return absl::InvalidArgumentError(absl::StrCat("model ", type, ": vocab is missing or empty"));
  }
  const absl::Status status =
      scored ? AddTokensWithScores(*vocab, vocabulary) : AddTokensWithIds(*vocab, vocabulary);
  if (!status.ok()) return status;
  if (added_tokens.is_null()) return vocabulary;
  if (!added_tokens.is_array()) return absl::InvalidArgumentError("added_tokens is not a list");
  for (const json& added : added_tokens) {
    const absl::Status added_status = AddAddedToken(added, vocabulary);
    if (!added_status.ok()) return added_status;
  }
  return vocabulary;
}

}  // namespace sinkstream
