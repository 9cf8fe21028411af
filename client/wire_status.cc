#include "client/wire_status.h"

#include <string>

#include "absl/strings/cord.h"
#include "client/wire_duration.h"
#include "google/rpc/error_details.pb.h"

namespace sinkstream {
namespace {

constexpr char kRetryInfo[] = "type.googleapis.com/google.rpc.RetryInfo";

void AddDetails(const google::rpc::Status& from, absl::Status& to) {
  for (const google::protobuf::Any& detail : from.details()) {
    to.SetPayload(detail.type_url(), absl::Cord(detail.value()));
  }
}

}  // namespace

absl::Status ToAbsl(const google::rpc::Status& status) {
  // All use the canonical codes.
  absl::Status result(static_cast<absl::StatusCode>(status.code()), status.message());
  AddDetails(status, result);
  return result;
}

absl::Status ToAbsl(const grpc::Status& status) {
  absl::Status result(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
  google::rpc::Status details;
  if (details.ParseFromString(status.error_details())) AddDetails(details, result);
  return result;
}

std::optional<absl::Duration> RetryDelay(const absl::Status& status) {
  const auto payload = status.GetPayload(kRetryInfo);
  google::rpc::RetryInfo info;
  if (!payload || !info.ParseFromString(std::string(*payload))) return std::nullopt;
  return ToAbsl(info.retry_delay());
}

}  // namespace sinkstream
