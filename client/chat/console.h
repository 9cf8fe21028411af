// What is told on standard error beside the replies.
#pragma once

#include "absl/strings/str_cat.h"
#include "client/tool/note.h"

namespace sinkstream {

// One line.
template <typename... Parts>
void Note(const Parts&... parts) {
  PrintNote("sinkstream-chat", absl::StrCat(parts...));
}

}  // namespace sinkstream
