// Unigram: the tokens of a word whose scores add up to the most, as the model Unigram of the
// `tokenizers` package finds them (Viterbi). Immutable; any thread.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "engine/text/byte_trie.h"
#include "engine/types.h"

namespace sinkstream {

class Unigram {
 public:
  struct Piece {
    std::string text;  // not empty
    TokenId id = kNoToken;
    double score = 0;
  };
  // `unknown_score`: of a character that no piece has. `bytes`: their tokens (byte_fallback);
  // kNoToken: none. Neighbouring unknown characters are one token.
  Unigram(const std::vector<Piece>& pieces, TokenId unknown, double unknown_score,
          const std::array<TokenId, 256>& bytes);

  // Appends the tokens of `word`. Linear in its length. Requires: valid UTF-8.
  void Append(std::string_view word, std::vector<TokenId>& tokens) const;

 private:
  // The best way to a place of the word: its last token.
  struct Step {
    double score = 0;
    size_t begin = 0;
    TokenId token = kNoToken;
    bool reached = false;
  };
  std::vector<Step> BestSteps(std::string_view word) const;
  void AppendUnknown(std::string_view text, std::vector<TokenId>& tokens) const;

  ByteTrie trie_;               // values: ids
  std::vector<double> scores_;  // by id
  const TokenId unknown_;
  const double unknown_score_;
  const std::array<TokenId, 256> bytes_;
};

}  // namespace sinkstream
