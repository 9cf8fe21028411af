// absl::Status to what goes over the wire: the same canonical code, the message, and google.rpc
// details (BadRequest, RetryInfo, ErrorInfo) from the facts in engine/errors.h. What INTERNAL and
// UNKNOWN say stays inside.
#pragma once

#include <grpcpp/support/status.h>

#include "absl/status/status.h"
#include "google/rpc/status.pb.h"

namespace sinkstream {

// For a stream or a call; the details ride in the trailers, as `grpc-status-details-bin`.
grpc::Status ToGrpcStatus(const absl::Status& status);

// In band.
google::rpc::Status ToRpcStatus(const absl::Status& status);

}  // namespace sinkstream
