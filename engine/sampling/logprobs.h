// Log-probabilities of one row of logits: the log-softmax, within 1e-6 of what is all computed in
// double. The row's logits are finite or -infinity, and one is finite (FindPeak, logits.h). Pure: a
// row's figures depend on its logits alone, whether they are told of a reply (sampler.h) or of a
// text that is read (engine/session/scoring.h).
#pragma once

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "engine/types.h"

namespace sinkstream {

// log(sum(exp(logit))): what a logit is above or below it is its log-probability. `highest`: of
// these.
double LogSumExp(absl::Span<const float> logits, float highest);

// Of `token` and of the `top` likeliest ones; of equals the lower id comes first. `log_sum`:
// LogSumExp of `logits`.
ChosenLogprob Logprobs(absl::Span<const float> logits, double log_sum, TokenId token, int32_t top);

// Of the whole vocabulary: [vocab_size].
std::vector<float> LogDistribution(absl::Span<const float> logits, double log_sum);

}  // namespace sinkstream
