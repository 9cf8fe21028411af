// SubwordTokenizer: the pipeline of a tokenizer.json with a model BPE or Unigram. A text is cut at
// added tokens, its runs are normalized, cut at the added tokens that are normalized themselves,
// cut into words, and each word's symbols are merged. Immutable; any thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "engine/text/added_tokens.h"
#include "engine/text/alphabet.h"
#include "engine/text/bpe.h"
#include "engine/text/character_pairs.h"
#include "engine/text/normalizer.h"
#include "engine/text/place.h"
#include "engine/text/pre_tokenizer.h"
#include "engine/text/tokenizer.h"
#include "engine/text/unigram.h"

namespace sinkstream {

class SubwordTokenizer final : public Tokenizer {
 public:
  struct Token {
    std::string bytes;  // empty for special tokens
    bool special = false;
    bool takes_before = false, takes_after = false;  // white space around it
    // What follows it is another run, or (its content is found in normalized text) only another
    // piece of the same run.
    bool ends_run = false, ends_piece = false;
  };
  struct Parts {
    std::vector<Token> tokens;                              // by id
    absl::flat_hash_map<TokenId, std::string> first_bytes;  // where they are not its bytes
    bool replaces_broken_bytes = false;
    AddedTokens raw_added{{}};         // found in text as it is
    AddedTokens normalized_added{{}};  // found in normalized text
    Normalizer normalizer;
    PreTokenizer pre_tokenizer;
    std::unique_ptr<const Unigram> unigram;  // null: BPE by the next two
    std::unique_ptr<const Alphabet> alphabet;
    BytePairMerges merges;
    // With ignore_merges, the token of each word that is one; otherwise empty.
    absl::flat_hash_map<std::string, TokenId> whole_words;
    // Of the tokens that merges make; absent: words are not cut further.
    std::optional<CharacterPairs> pairs;
    bool has_stable_cuts = false;  // added tokens leave the stable cuts as they are
  };
  explicit SubwordTokenizer(Parts parts) : parts_(std::move(parts)) {}

  using Tokenizer::Encode;
  std::vector<TokenId> Encode(std::string_view text, TokenId previous) const override;
  std::string_view TokenBytes(TokenId token) const override;
  std::string FirstTokenBytes(TokenId token) const override;
  bool ReplacesBrokenBytes() const override { return parts_.replaces_broken_bytes; }
  bool IsSpecial(TokenId token) const override { return Knows(token) && At(token).special; }
  bool TakesSpaceBefore(TokenId token) const override {
    return Knows(token) && At(token).takes_before;
  }
  int32_t VocabSize() const override { return static_cast<int32_t>(parts_.tokens.size()); }
  bool IsStableCut(std::string_view text, size_t at) const override;

 private:
  class Encoder;

  bool Knows(TokenId token) const { return token >= 0 && token < VocabSize(); }
  const Token& At(TokenId token) const { return parts_.tokens[token]; }
  // No merge reaches from one side of `at` to the other.
  bool SeparatesSymbols(std::string_view word, size_t at) const;
  bool CutsAt(std::string_view text, size_t at) const;
  bool AddedTokenMayReach(std::string_view text, size_t at) const;

  const Parts parts_;
};

}  // namespace sinkstream
