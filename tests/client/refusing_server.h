// RefusingServer: a server in this process that does not even tell what it serves.
#pragma once

#include <grpcpp/grpcpp.h>

#include <string>
#include <utility>

#include "sinkstream/v1/chat.grpc.pb.h"
#include "tests/client/loopback_server.h"

namespace sinkstream {

class RefusingServer final : private v1::ChatService::Service {
 public:
  // `message`: of every refusal.
  explicit RefusingServer(std::string message) : message_(std::move(message)) {}

  const std::string& address() const { return server_.address(); }

 private:
  grpc::Status GetModel(grpc::ServerContext*, const v1::GetModelRequest*,
                        v1::GetModelResponse*) override {
    return {grpc::StatusCode::INTERNAL, message_};
  }

  const std::string message_;
  LoopbackServer server_{{this}};
};

}  // namespace sinkstream
