// The engine's errors: canonical codes with facts for machines as payloads, which
// server/wire/status.cc turns into google.rpc details (BadRequest, RetryInfo, ErrorInfo). Messages
// name the field, what it was and the limit.
#pragma once

#include <array>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace sinkstream {

// INVALID_ARGUMENT about `field` (the proto's path, as "turn.sampling.top_p"). Message: "<field>:
// <problem>".
absl::Status InvalidField(const std::string& field, const std::string& problem);

// Why a session, a stream or a request is refused that nothing is wrong with.
enum class Refusal {
  kMaxSessions,
  kMaxPrincipalSessions,
  kKvMemory,
  kQueueFull,
  kMaxStreams,
  kShuttingDown
};
// In their order.
inline constexpr std::array kRefusals = {Refusal::kMaxSessions, Refusal::kMaxPrincipalSessions,
                                         Refusal::kKvMemory,    Refusal::kQueueFull,
                                         Refusal::kMaxStreams,  Refusal::kShuttingDown};
// As clients read it: "MAX_SESSIONS", ...
const char* Name(Refusal refusal);

// RESOURCE_EXHAUSTED. A client may try again after `retry_after`; absent: that would not help.
absl::Status Exhausted(Refusal refusal, const std::string& message,
                       std::optional<absl::Duration> retry_after);

// UNAVAILABLE, kShuttingDown: this server is going away, and gives and takes nothing new. A client
// may try again, here or at another server, after kShutdownRetry.
absl::Status ShuttingDown();
inline constexpr absl::Duration kShutdownRetry = absl::Seconds(1);

// The facts back out; absent where the status carries none.
std::optional<std::string> ErrorField(const absl::Status& status);
std::optional<Refusal> ErrorRefusal(const absl::Status& status);
std::optional<absl::Duration> ErrorRetryAfter(const absl::Status& status);

}  // namespace sinkstream
