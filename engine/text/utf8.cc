#include "engine/text/utf8.h"

#include <algorithm>

namespace sinkstream {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

// What stands at the beginning of a text.
struct Sequence {
  enum State { kWhole, kBroken, kUnfinished } state;
  size_t size;  // bytes; of a broken one its maximal part that could begin a character, at least 1
};

size_t ExpectedSize(uint8_t first) {
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return 2;
  if (first >= 0xE0 && first <= 0xEF) return 3;
  if (first >= 0xF0 && first <= 0xF4) return 4;
  return 0;
}

bool SecondByteFits(uint8_t first, uint8_t second) {
  const uint8_t low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
  const uint8_t high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
  return second >= low && second <= high;
}

Sequence FirstSequence(std::string_view text) {
  const auto first = static_cast<uint8_t>(text[0]);
  const size_t expected = ExpectedSize(first);
  if (expected == 0) return {Sequence::kBroken, 1};
  for (size_t i = 1; i < expected; ++i) {
    if (i == text.size()) return {Sequence::kUnfinished, i};
    const auto byte = static_cast<uint8_t>(text[i]);
    const bool fits = i == 1 ? SecondByteFits(first, byte) : IsUtf8Continuation(text[i]);
    if (!fits) return {Sequence::kBroken, i};
  }
  return {Sequence::kWhole, expected};
}

}  // namespace

size_t CompleteUtf8Prefix(std::string_view text) {
  // A character begins at most three bytes before the end.
  const size_t from = text.size() - std::min<size_t>(text.size(), 3);
  for (size_t i = from; i < text.size(); ++i) {
    if (IsUtf8Continuation(text[i])) continue;
    if (FirstSequence(text.substr(i)).state == Sequence::kUnfinished) return i;
  }
  return text.size();
}

bool IsValidUtf8(std::string_view text) {
  while (!text.empty()) {
    const Sequence sequence = FirstSequence(text);
    if (sequence.state != Sequence::kWhole) return false;
    text.remove_prefix(sequence.size);
  }
  return true;
}

std::string LossyUtf8(std::string_view text, Broken broken) {
  std::string result;
  result.reserve(text.size());
  while (!text.empty()) {
    const Sequence sequence = FirstSequence(text);
    const size_t replacements = broken == Broken::kByte ? sequence.size : 1;
    if (sequence.state == Sequence::kWhole) result += text.substr(0, sequence.size);
    for (size_t i = 0; sequence.state != Sequence::kWhole && i < replacements; ++i) {
      result += kReplacement;
    }
    text.remove_prefix(sequence.size);
  }
  return result;
}

CodePoint FirstCodePoint(std::string_view text) {
  const auto first = static_cast<uint8_t>(text[0]);
  if (first < 0x80) return {first, 1};
  const size_t size = ExpectedSize(first);
  uint32_t value = first & (0x7Fu >> size);
  for (size_t i = 1; i < size; ++i) value = value << 6 | (static_cast<uint8_t>(text[i]) & 0x3Fu);
  return {value, size};
}

std::string EncodeUtf8(uint32_t code_point) {
  if (code_point < 0x80) return std::string(1, static_cast<char>(code_point));
  const size_t size = code_point < 0x800 ? 2 : code_point < 0x10000 ? 3 : 4;
  std::string bytes(size, '\0');
  for (size_t i = size - 1; i > 0; --i) {
    bytes[i] = static_cast<char>(0x80 | (code_point & 0x3F));
    code_point >>= 6;
  }
  bytes[0] = static_cast<char>((0xF00u >> size & 0xFFu) | code_point);
  return bytes;
}

}  // namespace sinkstream
