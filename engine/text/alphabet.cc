#include "engine/text/alphabet.h"

#include <algorithm>
#include <utility>

#include "engine/text/utf8.h"

namespace sinkstream {

void ByteAlphabet::Append(std::string_view word, std::vector<TokenId>& symbols) const {
  for (const char byte : word) {
    const TokenId token = tokens_[static_cast<uint8_t>(byte)];
    if (token != kNoToken) symbols.push_back(token);
  }
}

CharacterAlphabet::CharacterAlphabet(Parts parts)
    : parts_(std::move(parts)),
      bytes_are_complete_(std::find(parts_.bytes.begin(), parts_.bytes.end(), kNoToken) ==
                          parts_.bytes.end()) {}

bool CharacterAlphabet::AppendBytes(std::string_view character,
                                    std::vector<TokenId>& symbols) const {
  const auto token = [this](char byte) { return parts_.bytes[static_cast<uint8_t>(byte)]; };
  const bool complete = std::all_of(character.begin(), character.end(),
                                    [&](char byte) { return token(byte) != kNoToken; });
  if (!complete) return false;
  for (const char byte : character) symbols.push_back(token(byte));
  return true;
}

// The unknown token of a character is held until the next character that the vocabulary has, past
// bytes too: so does the package.
void CharacterAlphabet::Append(std::string_view word, std::vector<TokenId>& symbols) const {
  bool holds_unknown = false;
  for (size_t i = 0; i < word.size();) {
    const CodePoint character = FirstCodePoint(word.substr(i));
    const auto found = parts_.characters.find(character.value);
    if (found != parts_.characters.end()) {
      if (std::exchange(holds_unknown, false)) symbols.push_back(parts_.unknown);
      symbols.push_back(found->second);
    } else if (!AppendBytes(word.substr(i, character.size), symbols) &&
               parts_.unknown != kNoToken) {
      if (holds_unknown && !parts_.fuse_unknown) symbols.push_back(parts_.unknown);
      holds_unknown = true;
    }
    i += character.size;
  }
  if (holds_unknown) symbols.push_back(parts_.unknown);
}

// A character that is dropped brings its neighbours together, which may merge.
bool CharacterAlphabet::CutsBetween(uint32_t left, uint32_t right) const {
  if (bytes_are_complete_) return true;
  const bool drops = parts_.unknown == kNoToken;
  return parts_.characters.contains(right) && (!drops || parts_.characters.contains(left));
}

}  // namespace sinkstream
