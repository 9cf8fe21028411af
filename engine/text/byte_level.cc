#include "engine/text/byte_level.h"

#include <array>
#include <charconv>

#include "absl/strings/str_format.h"
#include "engine/text/utf8.h"

namespace sinkstream {
namespace {

constexpr int kOutside = -1;
constexpr size_t kAlphabetEnd = 0x144;  // after the last character of the alphabet

struct Alphabet {
  std::array<uint32_t, 256> character{};  // by byte
  std::array<int, kAlphabetEnd> byte{};   // by character
};

// Printable characters of Latin-1 stand for themselves, the other bytes for U+0100 on.
Alphabet MakeAlphabet() {
  Alphabet alphabet;
  alphabet.byte.fill(kOutside);
  uint32_t next = 0x100;
  for (uint32_t byte = 0; byte < 256; ++byte) {
    const bool visible =
        (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
    const uint32_t character = visible ? byte : next++;
    alphabet.character[byte] = character;
    alphabet.byte[character] = static_cast<int>(byte);
  }
  return alphabet;
}

const Alphabet& GetAlphabet() {
  static const Alphabet alphabet = MakeAlphabet();
  return alphabet;
}

}  // namespace

std::string ByteLevelCharacter(uint8_t byte) { return EncodeUtf8(GetAlphabet().character[byte]); }

std::optional<std::string> ByteLevelBytes(std::string_view token) {
  std::string bytes;
  for (size_t i = 0; i < token.size();) {
    const CodePoint character = FirstCodePoint(token.substr(i));
    if (character.value >= kAlphabetEnd) return std::nullopt;
    const int byte = GetAlphabet().byte[character.value];
    if (byte == kOutside) return std::nullopt;
    bytes += static_cast<char>(byte);
    i += character.size;
  }
  return bytes;
}

std::string ByteToken(uint8_t byte) { return absl::StrFormat("<0x%02X>", byte); }

std::optional<char> ByteOfToken(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || !token.ends_with('>')) return std::nullopt;
  uint8_t byte = 0;
  const char* end = token.data() + 5;
  const auto [read, error] = std::from_chars(token.data() + 3, end, byte, 16);
  if (error != std::errc() || read != end) return std::nullopt;
  return static_cast<char>(byte);
}

}  // namespace sinkstream
