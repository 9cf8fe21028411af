// How often progress is shown on standard error.
#pragma once

#include "absl/time/time.h"

namespace sinkstream {

// A terminal's picture is drawn anew; elsewhere each is one more line.
inline absl::Duration RedrawInterval(bool terminal) {
  return terminal ? absl::Milliseconds(200) : absl::Seconds(10);
}

}  // namespace sinkstream
