// Reads a tokenizer.json: its components' own files read them, here they are put together. Pure;
// any thread.
#pragma once

#include <memory>
#include <string_view>

#include "absl/status/statusor.h"
#include "engine/text/tokenizer.h"

namespace sinkstream {

// INVALID_ARGUMENT names the component that is not supported (model type, normalizer,
// pre-tokenizer, option) or what is malformed.
absl::StatusOr<std::unique_ptr<Tokenizer>> ParseTokenizer(std::string_view tokenizer_json);

}  // namespace sinkstream
