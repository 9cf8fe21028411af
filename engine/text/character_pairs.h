// CharacterPairs: which characters stand side by side in the tokens that merges make. Between two
// that never do, no merge reaches, so a text may be cut there and its parts be merged alone.
// Immutable once built; any thread.
#pragma once

#include <cstdint>
#include <string_view>

#include "absl/container/flat_hash_set.h"

namespace sinkstream {

class CharacterPairs {
 public:
  // `token`: valid UTF-8.
  void AddFrom(std::string_view token);

  bool Contains(uint32_t left, uint32_t right) const {
    return pairs_.contains(static_cast<uint64_t>(left) << 32 | right);
  }

 private:
  absl::flat_hash_set<uint64_t> pairs_;
};

}  // namespace sinkstream
