// ByteTrie: strings with a number each, to be found at the beginning of a text. Immutable once
// built; any thread.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"

namespace sinkstream {

class ByteTrie {
 public:
  using Node = uint32_t;
  static constexpr Node kRoot = 0;
  static constexpr Node kNone = ~Node{0};
  static constexpr int32_t kNoValue = -1;

  // `value` >= 0; of a key given again the later value counts.
  void Add(std::string_view key, int32_t value);

  // The node one byte further; kNone if no key goes on so.
  Node Next(Node node, char byte) const;

  // The value of the key that ends at `node`.
  int32_t Value(Node node) const { return values_[node]; }

 private:
  std::vector<int32_t> values_ = {kNoValue};      // by node
  absl::flat_hash_map<uint64_t, Node> children_;  // key: node, byte
};

}  // namespace sinkstream
