#include "server/wire/status.h"

#include <string>

#include "engine/errors.h"
#include "google/rpc/error_details.pb.h"
#include "server/wire/durations.h"

namespace sinkstream {
namespace {

constexpr char kErrorDomain[] = "sinkstream";

bool IsInside(const absl::Status& status) {
  return status.code() == absl::StatusCode::kInternal ||
         status.code() == absl::StatusCode::kUnknown;
}

void AddDetails(const absl::Status& status, google::rpc::Status& rpc) {
  if (const auto field = ErrorField(status)) {
    google::rpc::BadRequest bad_request;
    auto* violation = bad_request.add_field_violations();
    violation->set_field(*field);
    violation->set_description(rpc.message());
    rpc.add_details()->PackFrom(bad_request);
  }
  if (const auto retry_after = ErrorRetryAfter(status)) {
    google::rpc::RetryInfo retry;
    *retry.mutable_retry_delay() = ToProtoDuration(*retry_after);
    rpc.add_details()->PackFrom(retry);
  }
  if (const auto refusal = ErrorRefusal(status)) {
    google::rpc::ErrorInfo info;
    info.set_reason(Name(*refusal));
    info.set_domain(kErrorDomain);
    rpc.add_details()->PackFrom(info);
  }
}

}  // namespace

google::rpc::Status ToRpcStatus(const absl::Status& status) {
  google::rpc::Status rpc;
  rpc.set_code(status.raw_code());
  if (IsInside(status)) {
    rpc.set_message("internal error");
    return rpc;
  }
  rpc.set_message(std::string(status.message()));
  AddDetails(status, rpc);
  return rpc;
}

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  const google::rpc::Status rpc = ToRpcStatus(status);
  const auto code = static_cast<grpc::StatusCode>(rpc.code());
  if (rpc.details().empty()) return grpc::Status(code, rpc.message());
  return grpc::Status(code, rpc.message(), rpc.SerializeAsString());
}

}  // namespace sinkstream
