#include "engine/text/byte_trie.h"

namespace sinkstream {
namespace {

uint64_t ChildKey(ByteTrie::Node node, char byte) {
  return static_cast<uint64_t>(node) << 8 | static_cast<uint8_t>(byte);
}

}  // namespace

void ByteTrie::Add(std::string_view key, int32_t value) {
  Node node = kRoot;
  for (const char byte : key) {
    const auto next = static_cast<Node>(values_.size());
    const auto [child, is_new] = children_.try_emplace(ChildKey(node, byte), next);
    if (is_new) values_.push_back(kNoValue);
    node = child->second;
  }
  values_[node] = value;
}

ByteTrie::Node ByteTrie::Next(Node node, char byte) const {
  const auto child = children_.find(ChildKey(node, byte));
  return child == children_.end() ? kNone : child->second;
}

}  // namespace sinkstream
