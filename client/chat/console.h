// What is told on standard error beside the replies.
#pragma once

#include <unistd.h>

#include <cstdio>
#include <string>

#include "absl/strings/str_cat.h"
#include "client/utf8.h"

namespace sinkstream {

// One line. In a terminal nothing of it, were it a server's message, controls that.
template <typename... Parts>
void Note(const Parts&... parts) {
  const std::string note = absl::StrCat(parts...);
  std::fprintf(stderr, "sinkstream-chat: %s\n",
               isatty(STDERR_FILENO) != 0 ? Printable(note).c_str() : note.c_str());
}

}  // namespace sinkstream
