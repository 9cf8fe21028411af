// ChatServiceImpl: the rpcs of sinkstream.v1.ChatService. Messages with text in them arrive raw
// (server/wire/message_parse.h).
#pragma once

#include <grpcpp/grpcpp.h>

#include "server/process/activity.h"
#include "server/stream/stream_environment.h"
#include "sinkstream/v1/chat.grpc.pb.h"

namespace sinkstream {

using ChatServiceBase =
    v1::ChatService::WithRawCallbackMethod_Converse<v1::ChatService::WithRawCallbackMethod_Tokenize<
        v1::ChatService::WithRawCallbackMethod_Detokenize<
            v1::ChatService::WithCallbackMethod_GetModel<
                v1::ChatService::WithCallbackMethod_GetLoad<v1::ChatService::Service>>>>>;

class ChatServiceImpl final : public ChatServiceBase {
 public:
  // Both outlive this, and this the server it is registered with. `activity` observes the engine.
  ChatServiceImpl(StreamEnvironment& environment, const EngineActivity& activity)
      : environment_(environment), activity_(activity) {}

  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* Converse(
      grpc::CallbackServerContext* context) override;
  grpc::ServerUnaryReactor* GetModel(grpc::CallbackServerContext* context,
                                     const v1::GetModelRequest* request,
                                     v1::GetModelResponse* response) override;
  grpc::ServerUnaryReactor* Tokenize(grpc::CallbackServerContext* context,
                                     const grpc::ByteBuffer* request,
                                     grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* Detokenize(grpc::CallbackServerContext* context,
                                       const grpc::ByteBuffer* request,
                                       grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* GetLoad(grpc::CallbackServerContext* context,
                                    const v1::GetLoadRequest* request,
                                    v1::GetLoadResponse* response) override;

 private:
  absl::StatusOr<v1::TokenizeResponse> Tokens(const v1::TokenizeRequest& request) const;
  absl::StatusOr<v1::DetokenizeResponse> Text(const v1::DetokenizeRequest& request) const;

  StreamEnvironment& environment_;
  const EngineActivity& activity_;
};

}  // namespace sinkstream
