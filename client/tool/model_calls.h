// Calls about the server's model that compute nothing: each has a minute.
//
// Threads: any.
#pragma once

#include <grpcpp/grpcpp.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "sinkstream/v1/chat.grpc.pb.h"

namespace sinkstream {

// `status` with the server and the code before its message.
absl::Status Named(const std::string& server, const absl::Status& status);

// Of a call that may take so long.
void SetDeadline(grpc::ClientContext& context, absl::Duration patience);

// The errors of these are as they came.
absl::StatusOr<v1::GetModelResponse> GetModel(v1::ChatService::Stub& stub);
absl::StatusOr<v1::GetLoadResponse> GetLoad(v1::ChatService::Stub& stub);
absl::StatusOr<std::vector<int32_t>> Tokenize(v1::ChatService::Stub& stub, const std::string& text);

// So much of a longer text is put into one Tokenize call: no more than the server takes. Unit:
// bytes.
size_t PieceBytes(const v1::Limits& limits);

}  // namespace sinkstream
