// ChatServiceImpl: the rpcs of sinkstream.v1.ChatService. Messages with text in them arrive raw
// (message_parse.h).
#pragma once

#include <grpcpp/grpcpp.h>

#include "engine/engine.h"
#include "server/session_stream.h"
#include "sinkstream/v1/chat.grpc.pb.h"

namespace sinkstream {

using ChatServiceBase =
    v1::ChatService::WithRawCallbackMethod_Converse<v1::ChatService::WithRawCallbackMethod_Tokenize<
        v1::ChatService::WithRawCallbackMethod_Detokenize<
            v1::ChatService::WithCallbackMethod_GetModel<v1::ChatService::Service>>>>;

struct ServiceOptions {
  int64_t max_message_bytes = 1 << 20;  // of one message from a client
  // Converse calls alive beside one for each session: some wait for a session, take one over or are
  // about to hear why they get none. Then RESOURCE_EXHAUSTED, MAX_STREAMS.
  int32_t streams_beside_sessions = 64;
  // From the start of a Converse call to its `open`; then DEADLINE_EXCEEDED.
  absl::Duration open_deadline = absl::Seconds(30);
};

class ChatServiceImpl final : public ChatServiceBase {
 public:
  // `engine` and what `on_error` uses outlive this; this outlives the server it is registered with.
  ChatServiceImpl(Engine& engine, const ServiceOptions& options, ErrorSink on_error);

  // Ends every stream once what waits for it is written.
  void EndStreams(const absl::Status& status) { environment_.streams.EndAll(status); }

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

 private:
  absl::StatusOr<v1::TokenizeResponse> Tokens(const grpc::ByteBuffer& request) const;
  absl::StatusOr<v1::DetokenizeResponse> Text(const grpc::ByteBuffer& request) const;

  Engine& engine_;
  StreamEnvironment environment_;
};

}  // namespace sinkstream
