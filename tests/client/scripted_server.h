// ScriptedServer: a ChatService in this process whose streams do what a test wrote down.
#pragma once

#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "sinkstream/v1/chat.grpc.pb.h"
#include "tests/client/loopback_server.h"

namespace sinkstream {

using ServerStream = grpc::ServerReaderWriter<v1::ConverseResponse, v1::ConverseRequest>;
// Runs on a thread of gRPC for each stream; what it returns ends the stream.
using Script = std::function<grpc::Status(ServerStream&)>;
using ScriptWithContext = std::function<grpc::Status(ServerStream&, grpc::ServerContext&)>;

class ScriptedServer final : private v1::ChatService::Service {
 public:
  explicit ScriptedServer(Script script)
      : ScriptedServer([script = std::move(script)](ServerStream& stream, grpc::ServerContext&) {
          return script(stream);
        }) {}
  explicit ScriptedServer(ScriptWithContext script) : script_(std::move(script)) {}

  const std::string& address() const { return server_.address(); }
  void SetServing(bool serving) {
    server_.server().GetHealthCheckService()->SetServingStatus(serving);
  }

 private:
  grpc::Status Converse(grpc::ServerContext* context, ServerStream* stream) override {
    return script_(*stream, *context);
  }

  const ScriptWithContext script_;
  LoopbackServer server_{{this}, /*with_health=*/true};
};

inline v1::ConverseRequest Receive(ServerStream& stream) {
  v1::ConverseRequest request;
  stream.Read(&request);
  return request;
}

inline void SendOpened(ServerStream& stream, const std::string& session_id, bool resumed = false) {
  v1::ConverseResponse response;
  response.mutable_opened()->set_session_id(session_id);
  response.mutable_opened()->set_resumed(resumed);
  stream.Write(response);
}

// The answers about a turn take its number, the client's first being 1.
inline void SendDelta(ServerStream& stream, const std::string& text, uint64_t request_id = 1) {
  v1::ConverseResponse response;
  response.mutable_delta()->set_request_id(request_id);
  response.mutable_delta()->set_text(text);
  stream.Write(response);
}

inline void SendTurnDone(ServerStream& stream, v1::FinishReason reason, uint64_t request_id = 1) {
  v1::ConverseResponse response;
  response.mutable_turn_done()->set_request_id(request_id);
  response.mutable_turn_done()->set_finish_reason(reason);
  stream.Write(response);
}

inline void SendFailed(ServerStream& stream, grpc::StatusCode code, const std::string& message,
                       uint64_t request_id = 1) {
  v1::ConverseResponse response;
  response.mutable_failed()->set_request_id(request_id);
  response.mutable_failed()->mutable_status()->set_code(code);
  response.mutable_failed()->mutable_status()->set_message(message);
  stream.Write(response);
}

// Takes what comes and never ends by itself.
inline grpc::Status HoldUntilDropped(ServerStream& stream, grpc::ServerContext& context) {
  v1::ConverseRequest ignored;
  while (stream.Read(&ignored)) {
  }
  while (!context.IsCancelled()) std::this_thread::yield();
  return grpc::Status::OK;
}

// Answers `open`, then says each turn back in two pieces, until the client has no more to say.
inline grpc::Status Echo(ServerStream& stream) {
  v1::ConverseRequest request = Receive(stream);
  SendOpened(stream, "0123456789abcdef0123456789abcdef");
  while (stream.Read(&request) && request.has_turn()) {
    const uint64_t id = request.turn().request_id();
    SendDelta(stream, "you said ", id);
    SendDelta(stream, request.turn().text(), id);
    SendTurnDone(stream, v1::FINISH_REASON_END_OF_TURN, id);
  }
  return grpc::Status::OK;
}

}  // namespace sinkstream
