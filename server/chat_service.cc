#include "server/chat_service.h"

#include <exception>
#include <utility>

#include "engine/text/detokenizer.h"
#include "server/process/process_stats.h"
#include "server/stream/converse_stream.h"
#include "server/wire/message_parse.h"
#include "server/wire/response.h"
#include "server/wire/status.h"

namespace sinkstream {
namespace {

// Ends a unary call with what `answer` returns, a Status, if the call may be made at all.
template <typename Answer>
grpc::ServerUnaryReactor* Finish(grpc::CallbackServerContext& context,
                                 const StreamEnvironment& environment, Answer answer) {
  grpc::ServerUnaryReactor* reactor = context.DefaultReactor();
  absl::Status status;
  try {
    status = environment.authenticator.Principal(context).status();
    if (status.ok()) status = answer();
  } catch (const std::exception& error) {
    status = absl::InternalError(error.what());
  }
  environment.on_error(status);
  environment.metrics.Told(ErrorScope::kCall, status);
  reactor->Finish(ToGrpcStatus(status));
  return reactor;
}

// Answers a raw request, which counts if it is refused.
template <typename Request, typename Answer>
absl::Status AnswerRaw(const grpc::ByteBuffer& bytes, ServiceMetrics& metrics, Answer answer,
                       grpc::ByteBuffer& response) {
  const auto request = ParseAs<Request>(bytes);
  absl::Status status = request.status();
  if (request.ok()) {
    const auto message = answer(*request);
    if (message.ok()) response = ToByteBuffer(*message);
    status = message.status();
  }
  if (!status.ok()) metrics.MessageRefused(status, request.ok());
  return status;
}

}  // namespace

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* ChatServiceImpl::Converse(
    grpc::CallbackServerContext* context) {
  return new ConverseStream(*context, environment_);  // deletes itself in OnDone
}

grpc::ServerUnaryReactor* ChatServiceImpl::GetModel(grpc::CallbackServerContext* context,
                                                    const v1::GetModelRequest*,
                                                    v1::GetModelResponse* response) {
  return Finish(*context, environment_, [&] {
    *response = ToModelResponse(environment_.engine, environment_.limits);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* ChatServiceImpl::Tokenize(grpc::CallbackServerContext* context,
                                                    const grpc::ByteBuffer* request,
                                                    grpc::ByteBuffer* response) {
  return Finish(*context, environment_, [&] {
    return AnswerRaw<v1::TokenizeRequest>(
        *request, environment_.metrics, [this](const auto& asked) { return Tokens(asked); },
        *response);
  });
}

grpc::ServerUnaryReactor* ChatServiceImpl::Detokenize(grpc::CallbackServerContext* context,
                                                      const grpc::ByteBuffer* request,
                                                      grpc::ByteBuffer* response) {
  return Finish(*context, environment_, [&] {
    return AnswerRaw<v1::DetokenizeRequest>(
        *request, environment_.metrics, [this](const auto& asked) { return Text(asked); },
        *response);
  });
}

grpc::ServerUnaryReactor* ChatServiceImpl::GetLoad(grpc::CallbackServerContext* context,
                                                   const v1::GetLoadRequest*,
                                                   v1::GetLoadResponse* response) {
  return Finish(*context, environment_, [&] {
    const auto resident_bytes = ReadResidentBytes();
    if (!resident_bytes.ok()) return resident_bytes.status();
    *response = ToLoadResponse(*resident_bytes, activity_.Pool(), environment_.limits.kv_bytes());
    return absl::OkStatus();
  });
}

absl::StatusOr<v1::TokenizeResponse> ChatServiceImpl::Tokens(
    const v1::TokenizeRequest& request) const {
  const absl::Status fits = CheckText(request.text(), "text", environment_.rules);
  if (!fits.ok()) return fits;
  const std::vector<TokenId> tokens = environment_.engine.GetTokenizer().Encode(request.text());
  v1::TokenizeResponse response;
  response.mutable_token_ids()->Assign(tokens.begin(), tokens.end());
  return response;
}

absl::StatusOr<v1::DetokenizeResponse> ChatServiceImpl::Text(
    const v1::DetokenizeRequest& request) const {
  const auto tokens = ToTokens(request.token_ids(), 0, "token_ids", environment_.rules);
  if (!tokens.ok()) return tokens.status();
  Detokenizer detokenizer(environment_.engine.GetTokenizer(), {});
  v1::DetokenizeResponse response;
  for (const TokenId token : *tokens) response.mutable_text()->append(detokenizer.Push(token));
  response.mutable_text()->append(detokenizer.Flush());
  return response;
}

}  // namespace sinkstream
