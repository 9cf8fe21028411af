#include "engine/errors.h"

#include <algorithm>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace sinkstream {
namespace {

constexpr char kFieldUrl[] = "sinkstream/field";
constexpr char kRefusalUrl[] = "sinkstream/refusal";
constexpr char kRetryAfterUrl[] = "sinkstream/retry_after_ms";

std::optional<std::string> Payload(const absl::Status& status, const char* url) {
  const auto payload = status.GetPayload(url);
  if (!payload) return std::nullopt;
  return std::string(*payload);
}

absl::Status WithRefusal(absl::Status status, Refusal refusal,
                         std::optional<absl::Duration> retry_after) {
  status.SetPayload(kRefusalUrl, absl::Cord(Name(refusal)));
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

const char* Name(Refusal refusal) {
  switch (refusal) {
    case Refusal::kMaxSessions:
      return "MAX_SESSIONS";
    case Refusal::kMaxPrincipalSessions:
      return "MAX_PRINCIPAL_SESSIONS";
    case Refusal::kKvMemory:
      return "KV_MEMORY";
    case Refusal::kQueueFull:
      return "QUEUE_FULL";
    case Refusal::kMaxStreams:
      return "MAX_STREAMS";
    case Refusal::kShuttingDown:
      return "SHUTTING_DOWN";
  }
  return "";
}

absl::Status Exhausted(Refusal refusal, const std::string& message,
                       std::optional<absl::Duration> retry_after) {
  return WithRefusal(absl::ResourceExhaustedError(message), refusal, retry_after);
}

absl::Status ShuttingDown() {
  return WithRefusal(absl::UnavailableError("the server is shutting down"), Refusal::kShuttingDown,
                     kShutdownRetry);
}

std::optional<std::string> ErrorField(const absl::Status& status) {
  return Payload(status, kFieldUrl);
}

std::optional<Refusal> ErrorRefusal(const absl::Status& status) {
  const auto name = Payload(status, kRefusalUrl);
  if (!name) return std::nullopt;
  const auto found = std::find_if(kRefusals.begin(), kRefusals.end(),
                                  [&](Refusal refusal) { return *name == Name(refusal); });
  return found == kRefusals.end() ? std::nullopt : std::optional(*found);
}

std::optional<absl::Duration> ErrorRetryAfter(const absl::Status& status) {
  const auto payload = Payload(status, kRetryAfterUrl);
  int64_t milliseconds = 0;
  if (!payload || !absl::SimpleAtoi(*payload, &milliseconds)) return std::nullopt;
  return absl::Milliseconds(milliseconds);
}

}  // namespace sinkstream
