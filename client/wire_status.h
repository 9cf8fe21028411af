// Errors of the wire as absl::Status, their details as its payloads.
#pragma once

#include <grpcpp/grpcpp.h>

#include <optional>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "google/rpc/status.pb.h"

namespace sinkstream {

absl::Status ToAbsl(const grpc::Status& status);
absl::Status ToAbsl(const google::rpc::Status& status);

// How long the server asks to wait before the same is asked for again (google.rpc.RetryInfo).
// Nothing if it does not say.
std::optional<absl::Duration> RetryDelay(const absl::Status& status);

}  // namespace sinkstream
