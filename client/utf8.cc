#include "client/utf8.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace sinkstream {
namespace {

struct Utf8Form {
  uint32_t mask, lead;  // of the first byte
  size_t bytes;
  uint32_t first;  // a smaller character has a shorter form
};

constexpr std::array kUtf8Forms = {
    Utf8Form{0x80, 0x00, 1, 0},
    Utf8Form{0xe0, 0xc0, 2, 0x80},
    Utf8Form{0xf0, 0xe0, 3, 0x800},
    Utf8Form{0xf8, 0xf0, 4, 0x10000},
};

// Bytes of the character that `text` begins with; 0: it begins with none.
size_t CharacterLength(std::string_view text) {
  const auto byte = [text](size_t i) { return uint32_t{static_cast<unsigned char>(text[i])}; };
  for (const Utf8Form& form : kUtf8Forms) {
    if ((byte(0) & form.mask) != form.lead) continue;
    if (text.size() < form.bytes) return 0;
    uint32_t character = byte(0) & ~form.mask;
    for (size_t i = 1; i < form.bytes; ++i) {
      if ((byte(i) & 0xc0) != 0x80) return 0;
      character = character << 6 | (byte(i) & 0x3f);
    }
    const bool surrogate = character >= 0xd800 && character <= 0xdfff;
    return character < form.first || character > 0x10ffff || surrogate ? 0 : form.bytes;
  }
  return 0;
}

bool IsControl(std::string_view character) {
  if (character == "\n" || character == "\t") return false;
  if (character.size() == 1) return character[0] < 0x20 || character[0] == 0x7f;
  return character >= "\u0080" && character <= "\u009f";  // UTF-8 sorts as its characters do
}

}  // namespace

bool IsUtf8(std::string_view text) {
  while (!text.empty()) {
    const size_t length = CharacterLength(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

std::string Printable(std::string_view text) {
  std::string printable;
  while (!text.empty()) {
    const size_t length = CharacterLength(text);
    const std::string_view character = text.substr(0, std::max<size_t>(length, 1));
    printable += length == 0 || IsControl(character) ? "\ufffd" : character;
    text.remove_prefix(character.size());
  }
  return printable;
}

}  // namespace sinkstream
