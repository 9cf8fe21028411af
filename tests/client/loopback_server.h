// A gRPC server of fake services on a free port of loopback, for a test.
#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <initializer_list>
#include <memory>
#include <string>

namespace sinkstream {

class LoopbackServer {
 public:
  // `services` outlive it. `with_health`: gRPC's own health service too, in this and later servers.
  explicit LoopbackServer(std::initializer_list<grpc::Service*> services,
                          bool with_health = false) {
    if (with_health) grpc::EnableDefaultHealthCheckService(true);
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    for (grpc::Service* const service : services) builder.RegisterService(service);
    server_ = builder.BuildAndStart();
    address_ = "127.0.0.1:" + std::to_string(port);
  }
  // Ends the calls at hand and waits for their threads.
  ~LoopbackServer() { server_->Shutdown(std::chrono::system_clock::now()); }
  LoopbackServer(const LoopbackServer&) = delete;
  LoopbackServer& operator=(const LoopbackServer&) = delete;

  const std::string& address() const { return address_; }
  grpc::Server& server() { return *server_; }

 private:
  std::string address_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace sinkstream
