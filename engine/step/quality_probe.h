// QualityProbe: which row of a step is looked at closely, so that an operator sees whether the
// model still does what it should: how much of its attention the pinned tokens get, and how likely
// it finds what is sampled. One row of every kEverySteps-th step, so that it costs little: a
// layer's attention on one thread, of a bounded number of scores, and a pass over a row of logits.
// Engine thread only.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/types/span.h"
#include "engine/model.h"
#include "engine/types.h"

namespace sinkstream {

class QualityProbe {
 public:
  static constexpr int64_t kEverySteps = 16;

  // Call once for each step, when it is planned. Which of its sequences is looked at: one whose
  // logits are wanted; these take turns. Absent for most steps, and where no logits are wanted.
  // Asks in `batch` for what the look needs: the sequence's logits, even where its peaks would do,
  // and how it attends, if it sees pinned tokens and others too.
  std::optional<int32_t> Choose(StepBatch& batch);

 private:
  std::optional<int32_t> InTurn(const StepBatch& batch);

  int64_t steps_ = 0;
  int64_t looks_ = 0;
};

// The negative log-likelihood of `token`, in nats, >= 0. The row's logits are as in
// engine/sampling/logprobs.h.
double NegativeLogLikelihood(absl::Span<const float> logits, TokenId token);

}  // namespace sinkstream
