// Evaluation: several policies read one text side by side, and what the model says of each token
// under each of them.
//
// Threads: one makes the calls; inside they run on several. No figure depends on how many.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "client/eval/policy.h"
#include "client/eval/score_client.h"
#include "client/eval/scored_session.h"

namespace sinkstream::eval {

// One request of a stream: reads tokens [begin, end), scores all but the first `skip` of them.
struct StreamRequest {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t skip = 0;
  bool distributions = false;
  friend bool operator==(const StreamRequest&, const StreamRequest&) = default;
};

// The requests that read tokens [begin, end), with distributions of those of `samples` (rising,
// some may lie outside) and of no others. Each within the bounds of ScoredSession::Append. Pure.
std::vector<StreamRequest> PlanRequests(int64_t begin, int64_t end,
                                        std::span<const int64_t> samples);

struct EvaluationPlan {
  std::vector<int32_t> ids;
  // Streams score every token from 1 to their window's end or the text's; at most one policy
  // recomputes, and scores `samples` alone.
  std::vector<Policy> policies;
  // Rising, each in [1, tokens).
  std::vector<int64_t> samples;
  // Policies, by their place, whose distributions at the samples are compared with the recomputed
  // ones.
  std::vector<size_t> compared;
  // Calls at a time.
  int64_t parallel = 4;
};

class Evaluation {
 public:
  // `client` outlives this.
  Evaluation(ScoreClient& client, EvaluationPlan plan);
  ~Evaluation();

  // Reads the text to its end. `on_advance` is told every now and then how many tokens all have
  // read. After an error there are the scores of the tokens that all had read, and of no others:
  // policies are compared on the same tokens.
  absl::Status Run(const std::function<void(int64_t)>& on_advance);

  // Where Run() begins: a policy that recomputes needs not read what stands before the samples.
  int64_t begin() const;
  const EvaluationPlan& plan() const { return plan_; }
  // By policy and token, nats; NaN where there is no score.
  const std::vector<double>& nll(size_t policy) const { return nll_[policy]; }
  // Of the i-th compared policy from the recomputed one, nats, by sample so far.
  const std::vector<double>& divergences(size_t i) const { return divergences_[i]; }

 private:
  struct Stage;
  absl::Status RunStage(const Stage& stage);
  absl::Status AdvanceStream(size_t policy, const Stage& stage);
  absl::Status Recompute(size_t policy, int64_t token, TokenScore& score);
  // What some policies have scored from token `begin` on.
  void Forget(int64_t begin);
  void Compare(const Stage& stage, std::span<const TokenScore> recomputed);
  bool IsCompared(size_t policy) const;

  ScoreClient& client_;
  const EvaluationPlan plan_;
  std::vector<size_t> streams_;                           // policies, by their place
  std::optional<size_t> recomputing_;                     // likewise
  std::vector<std::unique_ptr<ScoredSession>> sessions_;  // by policy; null: not begun
  std::vector<std::vector<double>> nll_;                  // by policy
  std::vector<std::vector<std::vector<float>>> sampled_;  // by policy: of this stage's samples
  std::vector<std::vector<double>> divergences_;          // by compared policy
};

// The settings of a session that reads as `policy` says and ends with its stream.
v1::Open SessionOf(const Policy& policy);

// The score of `token` as `policy` recomputes it: from the tokens of its cache read afresh.
absl::StatusOr<TokenScore> ScoreAfresh(ScoreClient& client, std::span<const int32_t> ids,
                                       int64_t token, int64_t cache, bool distribution);

}  // namespace sinkstream::eval
