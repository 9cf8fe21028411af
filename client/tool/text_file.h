// The text that a model is evaluated on.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace sinkstream {

// The file's text without its first `skip_characters` characters. Errors, each naming the file: it
// cannot be read; INVALID_ARGUMENT: it is not UTF-8, or nothing is left of it.
absl::StatusOr<std::string> ReadText(const std::string& path, int64_t skip_characters);

// True if a character begins at `offset` of the UTF-8 `text`, or it ends there.
bool IsCharacterBoundary(std::string_view text, size_t offset);

}  // namespace sinkstream
