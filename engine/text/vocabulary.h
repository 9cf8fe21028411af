// Vocabulary: the tokens of a tokenizer.json, those of its model and its added ones. Plain data
// once read.
#pragma once

#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "engine/text/added_tokens.h"
#include "engine/types.h"
#include "nlohmann/json_fwd.hpp"

namespace sinkstream {

struct VocabularyToken {
  std::string text;  // empty for an id that no token has
  bool special = false;
  bool added = false;
  // Of added tokens:
  bool normalized = false;    // found in normalized text, as its content is normalized
  bool takes_before = false;  // white space before it (lstrip)
  bool takes_after = false;   // white space after it (rstrip)
};

struct Vocabulary {
  absl::flat_hash_map<std::string, TokenId> ids;  // of the model's tokens
  std::vector<VocabularyToken> tokens;            // by id
};

// INVALID_ARGUMENT says what is malformed or not supported.
absl::StatusOr<Vocabulary> ParseVocabulary(const nlohmann::json& model,
                                           const nlohmann::json& added_tokens);

}  // namespace sinkstream
