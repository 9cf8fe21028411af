// The connection of a client to its server.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "absl/time/time.h"
#include "client/credentials.h"

namespace sinkstream {

// How long a client waits for a server that says nothing.
struct ClientPatience {
  // For the answer to `open`.
  absl::Duration open = absl::Seconds(30);
  // For the end of the stream after `close`, and after a half-close.
  absl::Duration end = absl::Seconds(10);
  // While a stream is open, a silent connection is asked for a sign of life after so long, and
  // given up as UNAVAILABLE without one. The server permits such a ping every 10 s.
  absl::Duration ping_interval = absl::Seconds(30);
  absl::Duration ping_answer = absl::Seconds(10);
};

// `server`: ADDRESS:PORT. Connects at the first call. Answers may have any size.
// A proxy of the environment is used for encrypted connections to other machines alone.
std::shared_ptr<grpc::Channel> Connect(const std::string& server, const ClientPatience& patience,
                                       const Credentials& credentials);

}  // namespace sinkstream
