// ServerLifecycle: the gRPC server from its port to its end. States: serving -> draining ->
// stopped. grpc.health.v1 says SERVING in the first alone, and there while Readiness is kReady: it
// is looked at every `tick`, and so, by a thread of their own, are the files of PortSecurity.
#pragma once

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/engine.h"
#include "engine/sync.h"
#include "server/chat_service.h"
#include "server/process/activity.h"
#include "server/process/readiness.h"
#include "server/process/ticker.h"
#include "server/score_service.h"
#include "server/security/port_security.h"
#include "server/stream/stream_environment.h"

namespace sinkstream {

struct ListenOptions {
  std::string address = "127.0.0.1:0";  // ADDRESS:PORT; port 0: any free one
  ServiceOptions service;
  PortSecurity* security = nullptr;  // outlives the server; null: neither encryption nor tokens
  bool reflection = false;           // grpc.reflection tells everybody the wire contract
  absl::Duration tick = absl::Milliseconds(500);
};

class ServerLifecycle {
 public:
  // What it serves, and what observes that; they outlive this.
  struct Parts {
    Engine& engine;
    EngineActivity& activity;
    Readiness& readiness;
    ServiceMetrics& metrics;
    ErrorSink on_error;  // what it uses outlives this too
    // The port accepts no connection any more: told once, with the reason, by any thread.
    std::function<void(const std::string& why)> on_deaf = [](const std::string&) {};
  };

  // Opens the port. UNAVAILABLE if it cannot be had. The model is warm by then.
  static absl::StatusOr<std::unique_ptr<ServerLifecycle>> Start(const ListenOptions& options,
                                                                const Parts& parts);
  // Stops at once if Drain() has not been called.
  ~ServerLifecycle();

  // With the port that it got.
  const std::string& Address() const { return address_; }

  // Takes no new session, lets running requests go on, then ends every stream with UNAVAILABLE,
  // lets its reader take what waits for it, and closes the port. All that for `timeout` (at most
  // kMaxDrainTimeout of server/config.h) or until `activity` is told to hurry. Returns when no call
  // is left: what is left then is cancelled after kFarewell. Call once.
  void Drain(absl::Duration timeout);

  static constexpr absl::Duration kFarewell = absl::Seconds(1);

 private:
  ServerLifecycle(const ListenOptions& options, const Parts& parts)
      : parts_(parts),
        environment_(parts.engine, parts.activity, parts.metrics, options.service, options.security,
                     parts.on_error),
        chat_service_(environment_, parts.activity),
        score_service_(environment_) {}
  absl::Status Listen(const ListenOptions& options);
  // Any thread.
  void TellHealth();
  void LookForDeafness() ABSL_EXCLUSIVE_LOCKS_REQUIRED(health_mutex_);

  const Parts parts_;
  StreamEnvironment environment_;
  ChatServiceImpl chat_service_;
  ScoreServiceImpl score_service_;
  std::string address_;
  std::shared_ptr<grpc::ServerCredentials> credentials_;
  std::unique_ptr<grpc::Server> server_;  // behind the services, which it uses
  Mutex health_mutex_;  // held while health is told, so that the last word is true
  std::optional<bool> told_serving_ ABSL_GUARDED_BY(health_mutex_);
  bool told_deaf_ ABSL_GUARDED_BY(health_mutex_) = false;
  // Last: they use the server. Two, so that a slow disk does not keep health from being told.
  std::unique_ptr<Ticker> health_ticker_, files_ticker_;
};

}  // namespace sinkstream
