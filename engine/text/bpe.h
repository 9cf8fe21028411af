// Byte-pair encoding of one word, with the rules of the `tokenizers` package: of all neighbours
// that can merge the pair of lowest rank merges first, the leftmost of equals. O(n log n) in the
// length of the word. Immutable; any thread.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "engine/types.h"

namespace sinkstream {

class BytePairEncoder {
 public:
  // Memory for Encode, to be used again; for one thread at a time.
  struct Scratch {
    struct Symbol {
      TokenId id;
      int32_t previous, next;  // indices of the neighbours, -1 for none
      bool alive;
    };
    struct Candidate {
      uint64_t order;  // rank, then place: the least merges first
      TokenId merged;
    };
    std::vector<Symbol> symbols;
    std::vector<Candidate> heap;
  };

  // `byte_tokens`: token of each byte, kNoToken for bytes that the vocabulary lacks: they are
  // dropped.
  explicit BytePairEncoder(const std::array<TokenId, 256>& byte_tokens)
      : byte_tokens_(byte_tokens) {}

  // `left` and `right` merge to `merged`. Ranks grow; a pair given again takes the later rank.
  void AddMerge(TokenId left, TokenId right, TokenId merged);

  // Appends the tokens of `word` (bytes) to `tokens`. Requires: word.size() < 2^31.
  void Encode(std::string_view word, Scratch& scratch, std::vector<TokenId>& tokens) const;

 private:
  struct Merge {
    uint32_t rank;
    TokenId merged;
  };
  const Merge* FindMerge(TokenId left, TokenId right) const;
  void MergeAll(Scratch& scratch) const;
  void PushCandidate(Scratch& scratch, int32_t left) const;

  const std::array<TokenId, 256> byte_tokens_;
  absl::flat_hash_map<uint64_t, Merge> merges_;  // key: left id, right id
  uint32_t next_rank_ = 0;
};

}  // namespace sinkstream
