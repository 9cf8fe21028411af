#include "engine/text/character_pairs.h"

#include "engine/text/utf8.h"

namespace sinkstream {

void CharacterPairs::AddFrom(std::string_view token) {
  if (token.empty()) return;
  CodePoint left = FirstCodePoint(token);
  for (size_t i = left.size; i < token.size(); i += left.size) {
    const CodePoint right = FirstCodePoint(token.substr(i));
    pairs_.insert(static_cast<uint64_t>(left.value) << 32 | right.value);
    left = right;
  }
}

}  // namespace sinkstream
