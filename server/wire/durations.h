// absl::Duration to and from google.protobuf.Duration.
#pragma once

#include <optional>

#include "absl/time/time.h"
#include "google/protobuf/duration.pb.h"

namespace sinkstream {

google::protobuf::Duration ToProtoDuration(absl::Duration duration);

// Absent for what is no duration: nanoseconds out of range or of the other sign than the seconds,
// or over 10000 years.
std::optional<absl::Duration> FromProtoDuration(const google::protobuf::Duration& duration);

}  // namespace sinkstream
