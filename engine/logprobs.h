// Log-probabilities of one row of logits: the log-softmax, summed in double. Pure: a row's figures
// depend on its logits alone, whether they are told of a reply (sampler.h) or of a text that is
// read (scoring.h).
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "engine/types.h"

namespace sinkstream {

// `logits`: [vocab_size]. INTERNAL if they hold a NaN or +infinity, or nothing but -infinity: the
// functions below are for those that do not.
absl::Status CheckLogits(absl::Span<const float> logits);

// log(sum(exp(logit))): what a logit is above or below it is its log-probability.
double LogSumExp(absl::Span<const float> logits);

// Of `token` and of the `top` likeliest ones; of equals the lower id comes first. `log_sum`:
// LogSumExp(logits).
ChosenLogprob Logprobs(absl::Span<const float> logits, double log_sum, TokenId token, int32_t top);

// Of the whole vocabulary: [vocab_size].
std::vector<float> LogDistribution(absl::Span<const float> logits, double log_sum);

}  // namespace sinkstream
