// UTF-8 as RFC 3629 has it: no surrogates, no overlong forms, at most U+10FFFF. Pure functions; any
// thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace sinkstream {

// Number of bytes of `text` that are whole, valid UTF-8 or definitely broken; the rest may yet be
// completed.
size_t CompleteUtf8Prefix(std::string_view text);

// True if `text` is valid UTF-8.
bool IsValidUtf8(std::string_view text);

// What U+FFFD stands for: a maximal broken part, as Rust's String::from_utf8_lossy has it, or each
// of its bytes.
enum class Broken { kPart, kByte };

// `text` with U+FFFD for what is broken in it.
std::string LossyUtf8(std::string_view text, Broken broken = Broken::kPart);

// A code point and the number of bytes it takes.
struct CodePoint {
  uint32_t value = 0;
  size_t size = 0;
};

// The code point at the beginning of `text`. Requires: valid UTF-8, not empty.
CodePoint FirstCodePoint(std::string_view text);

// Requires: a Unicode scalar value.
std::string EncodeUtf8(uint32_t code_point);

// True for the bytes of a character after its first.
inline bool IsUtf8Continuation(char byte) { return (static_cast<uint8_t>(byte) & 0xC0) == 0x80; }

// The last beginning of a character before `at`. Requires: valid UTF-8, 0 < at <= text.size().
inline size_t CharacterBefore(std::string_view text, size_t at) {
  do --at;
  while (IsUtf8Continuation(text[at]));
  return at;
}

}  // namespace sinkstream
