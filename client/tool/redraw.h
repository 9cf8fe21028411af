// Progress on standard error: how often it is shown, and how wide.
#pragma once

#include <cstdio>
#include <string>
#include <string_view>

#include "absl/time/time.h"

namespace sinkstream {

// A terminal's picture is drawn anew; elsewhere each is one more line.
inline absl::Duration RedrawInterval(bool terminal) {
  return terminal ? absl::Milliseconds(200) : absl::Seconds(10);
}

// `text` with each of its lines cut to the width of the terminal that `out` is, if that tells one:
// a line that wraps is two, and what is drawn in its place would leave one of them. Each character
// counts as one column.
std::string CutLines(std::string_view text, FILE* out);

}  // namespace sinkstream
