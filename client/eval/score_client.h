// ScoreClient: the calls of an evaluation to one server.
//
// Threads: any may call.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/credentials.h"
#include "sinkstream/v1/chat.grpc.pb.h"
#include "sinkstream/v1/score.grpc.pb.h"

namespace sinkstream::eval {

// What the model says of one token of a text.
struct TokenScore {
  double nll = 0;  // nats
  // Log-probabilities of the whole vocabulary, where asked for.
  std::vector<float> distribution;
};

// The scores of a server's answer, added to `scores`. INTERNAL: it tells of other tokens than the
// `ids` that follow those in `scores`, or its distributions are not of `distribution_tokens` (0:
// none were asked for).
absl::Status AddScores(const v1::Scores& answer, std::span<const int32_t> ids,
                       int32_t distribution_tokens, std::vector<TokenScore>& scores);

class ScoreClient {
 public:
  // `server`: ADDRESS:PORT.
  explicit ScoreClient(const std::string& server, const Credentials& credentials = {});

  // Asks the server what it serves. All other calls come after it.
  absl::Status Connect();
  const v1::GetModelResponse& model() const { return model_; }

  absl::StatusOr<v1::GetLoadResponse> GetLoad();
  absl::StatusOr<std::vector<int32_t>> Tokenize(const std::string& text);

  // The last of `ids` in view of all those before it, read for this alone. At least two.
  absl::StatusOr<TokenScore> ScoreLast(std::span<const int32_t> ids, bool distribution);

  // From now on every call that has not begun returns CANCELLED.
  void Stop() { stopped_ = true; }

  // Makes `call`; as long as it is RESOURCE_EXHAUSTED and the server says how long to wait, waits
  // and makes it again, for five minutes in all; notes the first such wait of all calls. The
  // message of an error then begins with the server and the code.
  absl::Status WithPatience(const std::function<absl::Status()>& call);

  v1::ChatService::Stub& chat() { return *chat_; }

 private:
  const std::string server_;
  const Credentials credentials_;
  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<v1::ChatService::Stub> chat_;
  const std::unique_ptr<v1::ScoreService::Stub> score_;
  v1::GetModelResponse model_;
  std::atomic<bool> stopped_ = false;
  std::atomic<bool> told_of_waiting_ = false;
};

// Runs `task` with 0 to `count` - 1, in this order, on `threads` threads. The first error in that
// order; once there is one, no further task begins.
absl::Status RunAll(size_t count, int64_t threads, const std::function<absl::Status(size_t)>& task);

}  // namespace sinkstream::eval
