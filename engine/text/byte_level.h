// How vocabularies write bytes. The byte-level alphabet of GPT-2 has a visible character for each
// byte; SentencePiece has a token for each, "<0x0A>". Pure; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sinkstream {

// The character of `byte`, in UTF-8.
std::string ByteLevelCharacter(uint8_t byte);

// The bytes that `token` stands for, if it is written in that alphabet alone. Requires: valid
// UTF-8.
std::optional<std::string> ByteLevelBytes(std::string_view token);

// "<0x0A>" for 10.
std::string ByteToken(uint8_t byte);

// The byte that `token` stands for, if it is written like "<0x0A>".
std::optional<char> ByteOfToken(std::string_view token);

}  // namespace sinkstream
