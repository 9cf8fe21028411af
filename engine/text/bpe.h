// Byte-pair merges of one word, with the rules of the `tokenizers` package: of all neighbours that
// can merge the pair of lowest rank merges first, the leftmost of equals. O(n log n) in the length
// of the word. Immutable once built; any thread.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/types/span.h"
#include "engine/types.h"

namespace sinkstream {

class BytePairMerges {
 public:
  // Memory for Apply, to be used again; for one thread at a time.
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

  // `left` and `right` merge to `merged`. Ranks grow; a pair given again takes the later rank.
  void Add(TokenId left, TokenId right, TokenId merged);

  // Appends to `tokens` what the word of `symbols` merges to. Requires: fewer than 2^31 symbols.
  void Apply(absl::Span<const TokenId> symbols, Scratch& scratch,
             std::vector<TokenId>& tokens) const;

 private:
  struct Merge {
    uint32_t rank;
    TokenId merged;
  };
  const Merge* Find(TokenId left, TokenId right) const;
  void MergeAll(Scratch& scratch) const;
  void PushCandidate(Scratch& scratch, int32_t left) const;

  absl::flat_hash_map<uint64_t, Merge> merges_;  // key: left id, right id
  uint32_t next_rank_ = 0;
};

}  // namespace sinkstream
