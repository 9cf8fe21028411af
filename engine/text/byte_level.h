// The byte-level alphabet of GPT-2: each byte has a visible character by which vocabularies write
// it. Pure; any thread.
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

}  // namespace sinkstream
