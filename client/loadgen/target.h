// The server under load: what it serves, and what is said to it.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/loadgen/conversation.h"
#include "client/loadgen/options.h"
#include "sinkstream/v1/chat.grpc.pb.h"

namespace sinkstream::loadgen {

class Target {
 public:
  // Asks `server`, ADDRESS:PORT, what it serves. An error names it.
  static absl::StatusOr<Target> Connect(const std::string& server, const Credentials& credentials);

  const v1::GetModelResponse& model() const { return model_; }
  v1::ChatService::Stub& stub() { return *stub_; }

  // What `options` ask for. INVALID_ARGUMENT: a file cannot be read, or the server's limits do not
  // allow for it.
  absl::StatusOr<Traffic> MakeTraffic(const Options& options);

 private:
  Target() = default;
  absl::StatusOr<std::vector<int32_t>> ReadText(const Options& options);
  absl::StatusOr<std::vector<int32_t>> Tokenize(const std::string& text);

  std::string server_;
  std::unique_ptr<v1::ChatService::Stub> stub_;
  v1::GetModelResponse model_;
};

// INVALID_ARGUMENT, naming the flag: more tokens than a server of these limits takes.
absl::Status CheckLimits(const Workload& workload, const v1::Limits& limits);

}  // namespace sinkstream::loadgen
