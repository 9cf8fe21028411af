#include "engine/text/bpe.h"

#include <algorithm>

namespace sinkstream {
namespace {

uint64_t PairKey(TokenId left, TokenId right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

struct LaterFirst {
  bool operator()(const BytePairMerges::Scratch::Candidate& a,
                  const BytePairMerges::Scratch::Candidate& b) const {
    return a.order > b.order;
  }
};

}  // namespace

void BytePairMerges::Add(TokenId left, TokenId right, TokenId merged) {
  merges_[PairKey(left, right)] = {next_rank_++, merged};
}

const BytePairMerges::Merge* BytePairMerges::Find(TokenId left, TokenId right) const {
  const auto found = merges_.find(PairKey(left, right));
  return found == merges_.end() ? nullptr : &found->second;
}

void BytePairMerges::PushCandidate(Scratch& scratch, int32_t left) const {
  const Scratch::Symbol& symbol = scratch.symbols[left];
  if (symbol.next < 0) return;
  const Merge* merge = Find(symbol.id, scratch.symbols[symbol.next].id);
  if (merge == nullptr) return;
  const uint64_t order = static_cast<uint64_t>(merge->rank) << 32 | static_cast<uint32_t>(left);
  scratch.heap.push_back({order, merge->merged});
}

void BytePairMerges::MergeAll(Scratch& scratch) const {
  auto& [symbols, heap] = scratch;
  heap.clear();
  for (int32_t i = 0; i < static_cast<int32_t>(symbols.size()); ++i) PushCandidate(scratch, i);
  std::make_heap(heap.begin(), heap.end(), LaterFirst());
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), LaterFirst());
    const Scratch::Candidate top = heap.back();
    heap.pop_back();
    const auto place = static_cast<int32_t>(top.order & 0xFFFFFFFF);
    Scratch::Symbol& left = symbols[place];
    if (!left.alive || left.next < 0) continue;
    Scratch::Symbol& right = symbols[left.next];
    // A neighbour may have merged since this candidate was found.
    const Merge* merge = Find(left.id, right.id);
    if (merge == nullptr || merge->merged != top.merged) continue;
    left.id = top.merged;
    left.next = right.next;
    right.alive = false;
    if (left.next >= 0) symbols[left.next].previous = place;
    for (int32_t first : {left.previous, place}) {
      if (first < 0) continue;
      const size_t size = heap.size();
      PushCandidate(scratch, first);
      if (heap.size() > size) std::push_heap(heap.begin(), heap.end(), LaterFirst());
    }
  }
}

void BytePairMerges::Apply(absl::Span<const TokenId> word, Scratch& scratch,
                           std::vector<TokenId>& tokens) const {
  if (word.empty()) return;
  auto& symbols = scratch.symbols;
  symbols.clear();
  for (const TokenId id : word) {
    const auto place = static_cast<int32_t>(symbols.size());
    symbols.push_back({id, place - 1, place + 1, true});
  }
  symbols.back().next = -1;
  MergeAll(scratch);
  for (const auto& symbol : symbols) {
    if (symbol.alive) tokens.push_back(symbol.id);
  }
}

}  // namespace sinkstream
