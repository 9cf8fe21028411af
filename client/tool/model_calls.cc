#include "client/tool/model_calls.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/wire_status.h"

namespace sinkstream {
namespace {

constexpr absl::Duration kDeadline = absl::Minutes(1);
// Where the server takes more.
constexpr int64_t kPieceBytes = 64 << 10;

template <typename Request, typename Response>
absl::StatusOr<Response> Call(v1::ChatService::Stub& stub,
                              grpc::Status (v1::ChatService::Stub::*method)(grpc::ClientContext*,
                                                                            const Request&,
                                                                            Response*),
                              const Request& request) {
  grpc::ClientContext context;
  SetDeadline(context, kDeadline);
  Response response;
  const absl::Status status = ToAbsl((stub.*method)(&context, request, &response));
  if (!status.ok()) return status;
  return response;
}

}  // namespace

absl::Status Named(const std::string& server, const absl::Status& status) {
  return absl::Status(
      status.code(),
      absl::StrCat(server, ": ", absl::StatusCodeToString(status.code()), ": ", status.message()));
}

void SetDeadline(grpc::ClientContext& context, absl::Duration patience) {
  context.set_deadline(absl::ToChronoTime(absl::Now() + patience));
}

absl::StatusOr<v1::GetModelResponse> GetModel(v1::ChatService::Stub& stub) {
  return Call(stub, &v1::ChatService::Stub::GetModel, v1::GetModelRequest());
}

absl::StatusOr<v1::GetLoadResponse> GetLoad(v1::ChatService::Stub& stub) {
  return Call(stub, &v1::ChatService::Stub::GetLoad, v1::GetLoadRequest());
}

absl::StatusOr<std::vector<int32_t>> Tokenize(v1::ChatService::Stub& stub,
                                              const std::string& text) {
  v1::TokenizeRequest request;
  request.set_text(text);
  const auto response = Call(stub, &v1::ChatService::Stub::Tokenize, request);
  if (!response.ok()) return response.status();
  return std::vector<int32_t>(response->token_ids().begin(), response->token_ids().end());
}

size_t PieceBytes(const v1::Limits& limits) {
  return static_cast<size_t>(
      std::min({kPieceBytes, limits.max_request_bytes(), int64_t{limits.max_request_tokens()}}));
}

}  // namespace sinkstream
