// ServerLifecycle: the gRPC server from its port to its end. States: serving -> draining ->
// stopped. Health says SERVING in the first alone.
#pragma once

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/engine.h"
#include "server/activity.h"
#include "server/score_service.h"
#include "server/service.h"
#include "server/stream_environment.h"

namespace sinkstream {

struct ListenOptions {
  std::string address = "127.0.0.1:0";  // ADDRESS:PORT; port 0: any free one
  ServiceOptions service;
};

class ServerLifecycle {
 public:
  // Opens the port. UNAVAILABLE if it cannot be had. `engine`, and `activity` which observes it,
  // outlive this.
  static absl::StatusOr<std::unique_ptr<ServerLifecycle>> Start(const ListenOptions& options,
                                                                Engine& engine,
                                                                EngineActivity& activity);
  // Stops at once if Drain() has not been called.
  ~ServerLifecycle();

  // With the port that it got.
  const std::string& Address() const { return address_; }

  // Takes no new session, lets running requests go on for `timeout` (at most kMaxDrainTimeout of
  // config.h) or until `activity` is told to hurry, then ends every stream with UNAVAILABLE and
  // closes the port. Returns when no call is left; a client that does not read cannot hold it up
  // for more than kFarewell.
  void Drain(absl::Duration timeout);

  static constexpr absl::Duration kFarewell = absl::Seconds(1);

 private:
  ServerLifecycle(const ServiceOptions& options, Engine& engine, EngineActivity& activity)
      : engine_(engine),
        activity_(activity),
        environment_(engine, options,
                     [&activity](const absl::Status& error) { activity.Log(error); }),
        chat_service_(environment_, activity),
        score_service_(environment_) {}
  absl::Status Listen(const ListenOptions& options);
  void SetServing(bool serving);

  Engine& engine_;
  EngineActivity& activity_;
  StreamEnvironment environment_;
  ChatServiceImpl chat_service_;
  ScoreServiceImpl score_service_;
  std::string address_;
  std::unique_ptr<grpc::Server> server_;  // last: it uses the services
};

}  // namespace sinkstream
