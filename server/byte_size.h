// ByteSize: a number of bytes as a command-line flag: "2GiB", "512MiB", "64KiB" or plain bytes.
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace sinkstream {

struct ByteSize {
  int64_t bytes = 0;
};

// For Abseil's flags. False, with `error` set, for what is no size or over 2^63 - 1 bytes.
bool AbslParseFlag(absl::string_view text, ByteSize* size, std::string* error);
// The largest unit that divides it: "2GiB".
std::string AbslUnparseFlag(ByteSize size);

}  // namespace sinkstream
