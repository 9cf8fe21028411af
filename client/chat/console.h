// What is told on standard error beside the replies.
#pragma once

#include <cstdio>

#include "absl/strings/str_cat.h"

namespace sinkstream {

// One line.
template <typename... Parts>
void Note(const Parts&... parts) {
  std::fprintf(stderr, "sinkstream-chat: %s\n", absl::StrCat(parts...).c_str());
}

}  // namespace sinkstream
