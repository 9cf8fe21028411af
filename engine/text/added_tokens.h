// AddedTokens: the added tokens of a tokenizer.json that text becomes, found in a text before it is
// cut into words: leftmost, of those the longest. Immutable; any thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "engine/text/byte_trie.h"
#include "engine/types.h"

namespace sinkstream {

struct AddedToken {
  TokenId id = kNoToken;
  std::string content;        // not empty
  bool takes_before = false;  // white space before it (lstrip)
  bool takes_after = false;   // white space after it (rstrip)
};

class AddedTokens {
 public:
  explicit AddedTokens(std::vector<AddedToken> tokens);

  // A piece of a text: an added token, or what is between two.
  struct Piece {
    std::string_view text;
    TokenId token = kNoToken;  // kNoToken: text
  };
  // The pieces of `text`, in order; none are empty.
  std::vector<Piece> Find(std::string_view text) const;

  // True if a token begins before `at` and reaches it or what is behind it. A token that the end of
  // `text` cuts off counts.
  bool MayReach(std::string_view text, size_t at) const;

  bool empty() const { return tokens_.empty(); }

 private:
  struct Match {
    const AddedToken* token = nullptr;  // null: none
    bool may_go_on = false;             // the text ends within a token
  };
  // The longest token at the beginning of `text`.
  Match Longest(std::string_view text) const;

  std::vector<AddedToken> tokens_;
  ByteTrie trie_;       // values: indices of tokens_
  size_t longest_ = 0;  // bytes of the longest content
};

}  // namespace sinkstream
