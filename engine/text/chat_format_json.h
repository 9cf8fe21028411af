// Reads a model file's chat_format.json (docs/model_artifact.md). Pure; any thread.
#pragma once

#include <cstdint>
#include <string_view>

#include "absl/status/statusor.h"
#include "engine/text/chat_format.h"

namespace sinkstream {

// Of format_version 1 or 2. Where older files do not say it, the beginning of the format "plain" is
// the tokenizer's own. INVALID_ARGUMENT says what is malformed or out of `vocab_size`.
absl::StatusOr<ChatFormat> ParseChatFormat(std::string_view json, int32_t vocab_size);

}  // namespace sinkstream
