// ScoredSession: a session that reads a text and tells how well the model predicts it.
//
// Threads: one.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/converse_call.h"
#include "client/eval/score_client.h"

namespace sinkstream::eval {

class ScoredSession {
 public:
  // Waits while the server has no room. `client` outlives the session.
  static absl::StatusOr<std::unique_ptr<ScoredSession>> Open(ScoreClient& client,
                                                             const v1::Open& open);

  const v1::Opened& opened() const { return opened_; }

  // Reads `ids`; the scores of those after the first `skip` (the first token of a session has none:
  // skip it). With all skipped none is scored, but what comes next will be, from its first token
  // on. Requires: at most kMostTokens, and 64 scored ones with distributions.
  absl::StatusOr<std::vector<TokenScore>> Append(std::span<const int32_t> ids, int64_t skip,
                                                 bool distributions);

  // Ends the session. What fails then is of no consequence: the server ends what is idle.
  void Close();
  // Ends the stream; the session stays for its idle time.
  void Leave();

  static constexpr int64_t kMostTokens = 1024;
  static constexpr int64_t kMostDistributions = 64;

 private:
  ScoredSession(ScoreClient& client, std::unique_ptr<ConverseCall> stream, v1::Opened opened);
  absl::Status Ask(const v1::Append& append, std::span<const int32_t> scored,
                   std::vector<TokenScore>& scores);

  ScoreClient& client_;
  const std::unique_ptr<ConverseCall> stream_;
  const v1::Opened opened_;
  uint64_t requests_ = 0;
};

}  // namespace sinkstream::eval
