// Token ids of a text that may be longer than a request. Pure but for the call that is handed in.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace sinkstream {

using TokenizeFunction =
    std::function<absl::StatusOr<std::vector<int32_t>>(const std::string& text)>;

// The first `count` token ids of `text` as if it were tokenized whole; fewer if it has no more. It
// is handed to `tokenize` in pieces of at most `piece_bytes` (at least 64), cut only where the
// tokens around the cut are seen to be the same without it. Whatever the tokenizer does, it must
// do it within half a thousand bytes. INVALID_ARGUMENT: no such place in reach.
absl::StatusOr<std::vector<int32_t>> TokenizeText(std::string_view text, int64_t count,
                                                  size_t piece_bytes,
                                                  const TokenizeFunction& tokenize);

}  // namespace sinkstream
