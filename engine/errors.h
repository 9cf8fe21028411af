// The engine's errors: canonical codes with facts for machines as payloads, which
// server/wire/status.cc turns into google.rpc details (BadRequest, RetryInfo, ErrorInfo). Messages
// name the field, what it was and the limit.
#pragma once

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace sinkstream {

// INVALID_ARGUMENT about `field` (the proto's path, as "turn.sampling.top_p"). Message: "<field>:
// <problem>".
absl::Status InvalidField(const std::string& field, const std::string& problem);

// RESOURCE_EXHAUSTED for want of `reason` (UPPER_SNAKE: "KV_MEMORY", "MAX_SESSIONS", "QUEUE_FULL");
// a client may try again after `retry_after`; absent: that would not help.
absl::Status Exhausted(const std::string& reason, const std::string& message,
                       std::optional<absl::Duration> retry_after);

// UNAVAILABLE: this server is going away, and gives and takes nothing new. Reason SHUTTING_DOWN; a
// client may try again, here or at another server, after kShutdownRetry.
absl::Status ShuttingDown();
inline constexpr absl::Duration kShutdownRetry = absl::Seconds(1);

// The facts back out; absent where the status carries none.
std::optional<std::string> ErrorField(const absl::Status& status);
std::optional<std::string> ErrorReason(const absl::Status& status);
std::optional<absl::Duration> ErrorRetryAfter(const absl::Status& status);

}  // namespace sinkstream
