#include "engine/errors.h"

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace sinkstream {
namespace {

constexpr char kFieldUrl[] = "sinkstream/field";
constexpr char kReasonUrl[] = "sinkstream/reason";
constexpr char kRetryAfterUrl[] = "sinkstream/retry_after_ms";

std::optional<std::string> Payload(const absl::Status& status, const char* url) {
  const auto payload = status.GetPayload(url);
  if (!payload) return std::nullopt;
  return std::string(*payload);
}

absl::Status Refusal(absl::Status status, const std::string& reason,
                     std::optional<absl::Duration> retry_after) {
  status.SetPayload(kReasonUrl, absl::Cord(reason));
  if (!retry_after) return status;
  const auto milliseconds = absl::ToInt64Milliseconds(*retry_after);
  status.SetPayload(kRetryAfterUrl, absl::Cord(absl::StrCat(milliseconds)));
  return status;
}

}  // namespace

absl::Status InvalidField(const std::string& field, const std::string& problem) {
  auto status = absl::InvalidArgumentError(absl::StrCat(field, ": ", problem));
  status.SetPayload(kFieldUrl, absl::Cord(field));
  return status;
}

absl::Status Exhausted(const std::string& reason, const std::string& message,
                       std::optional<absl::Duration> retry_after) {
  return Refusal(absl::ResourceExhaustedError(message), reason, retry_after);
}

absl::Status ShuttingDown() {
  return Refusal(absl::UnavailableError("the server is shutting down"), "SHUTTING_DOWN",
                 kShutdownRetry);
}

std::optional<std::string> ErrorField(const absl::Status& status) {
  return Payload(status, kFieldUrl);
}

std::optional<std::string> ErrorReason(const absl::Status& status) {
  return Payload(status, kReasonUrl);
}

std::optional<absl::Duration> ErrorRetryAfter(const absl::Status& status) {
  const auto payload = Payload(status, kRetryAfterUrl);
  int64_t milliseconds = 0;
  if (!payload || !absl::SimpleAtoi(*payload, &milliseconds)) return std::nullopt;
  return absl::Milliseconds(milliseconds);
}

}  // namespace sinkstream
