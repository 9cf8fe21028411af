#include "engine/text/unicode.h"

#include <algorithm>
#include <iterator>

#include "engine/text/utf8.h"

namespace sinkstream {
namespace {

struct Substitute {
  uint32_t first, last;
  uint32_t known;
};

struct CodeRange {
  uint32_t first, last;
};

#include "engine/text/unicode_tables.inc"

template <typename Range, size_t kSize>
const Range* FindRange(const Range (&ranges)[kSize], uint32_t code_point) {
  const Range* range = std::lower_bound(
      std::begin(ranges), std::end(ranges), code_point,
      [](const Range& candidate, uint32_t value) { return candidate.last < value; });
  return range != std::end(ranges) && range->first <= code_point ? range : nullptr;
}

}  // namespace

bool IsNumeric(uint32_t code_point) {
  if (code_point < 0x80) return code_point >= '0' && code_point <= '9';
  return FindRange(kNumeric, code_point) != nullptr;
}

bool IsPunctuation(uint32_t code_point) { return FindRange(kPunctuation, code_point) != nullptr; }

bool IsWhiteSpace(uint32_t c) {
  return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

bool IsNewToNormalizers(uint32_t code_point) {
  return FindRange(kNewToNormalizers, code_point) != nullptr;
}

std::string_view WithKnownCategories(std::string_view text, std::string& substituted) {
  bool changed = false;
  for (size_t i = 0; i < text.size();) {
    if (static_cast<uint8_t>(text[i]) < 0x80) {
      ++i;
      continue;
    }
    const CodePoint code_point = FirstCodePoint(text.substr(i));
    if (const Substitute* found = FindRange(kSubstitutes, code_point.value)) {
      if (!changed) substituted = std::string(text);
      changed = true;
      substituted.replace(i, code_point.size, EncodeUtf8(found->known));
    }
    i += code_point.size;
  }
  return changed ? std::string_view(substituted) : text;
}

size_t WhiteSpaceAtBegin(std::string_view text) {
  size_t size = 0;
  while (size < text.size()) {
    const CodePoint character = FirstCodePoint(text.substr(size));
    if (!IsWhiteSpace(character.value)) break;
    size += character.size;
  }
  return size;
}

size_t WhiteSpaceAtEnd(std::string_view text) {
  size_t size = 0;
  while (size < text.size()) {
    const size_t begin = CharacterBefore(text, text.size() - size);
    if (!IsWhiteSpace(FirstCodePoint(text.substr(begin)).value)) break;
    size = text.size() - begin;
  }
  return size;
}

}  // namespace sinkstream
