// Durations of the wire.
#pragma once

#include "absl/time/time.h"
#include "google/protobuf/duration.pb.h"

namespace sinkstream {

inline absl::Duration ToAbsl(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}

}  // namespace sinkstream
