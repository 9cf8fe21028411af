#include "server/wire/durations.h"

#include "google/protobuf/util/time_util.h"

namespace sinkstream {

google::protobuf::Duration ToProtoDuration(absl::Duration duration) {
  google::protobuf::Duration proto;
  proto.set_seconds(absl::IDivDuration(duration, absl::Seconds(1), &duration));
  proto.set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(duration)));
  return proto;
}

std::optional<absl::Duration> FromProtoDuration(const google::protobuf::Duration& duration) {
  constexpr int32_t kMaxNanos = 999999999;
  const int64_t seconds = duration.seconds();
  const int32_t nanos = duration.nanos();
  using google::protobuf::util::TimeUtil;
  if (seconds < TimeUtil::kDurationMinSeconds || seconds > TimeUtil::kDurationMaxSeconds ||
      nanos < -kMaxNanos || nanos > kMaxNanos || (seconds < 0 && nanos > 0) ||
      (seconds > 0 && nanos < 0)) {
    return std::nullopt;
  }
  return absl::Seconds(seconds) + absl::Nanoseconds(nanos);
}

}  // namespace sinkstream
