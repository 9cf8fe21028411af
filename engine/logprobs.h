// Log-probabilities of one row of logits: the log-softmax. Cheap, as the engine thread takes a
// vocabulary of exponentials for each row between two steps: these in float, eight at
// a time summed in float, the rest in double; within 1e-6 of what is all computed in double. Pure:
// a row's figures depend on its logits alone, whether they are told of a reply (sampler.h) or of a
// text that is read (scoring.h).
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/types.h"

namespace sinkstream {

// `logits`: [vocab_size]. INTERNAL if they hold a NaN or +infinity, or nothing but -infinity: the
// functions below are for those that do not.
absl::StatusOr<float> HighestLogit(absl::Span<const float> logits);

// log(sum(exp(logit))): what a logit is above or below it is its log-probability. `highest`:
// HighestLogit(logits).
double LogSumExp(absl::Span<const float> logits, float highest);

// Of `token` and of the `top` likeliest ones; of equals the lower id comes first. `log_sum`:
// LogSumExp of `logits`.
ChosenLogprob Logprobs(absl::Span<const float> logits, double log_sum, TokenId token, int32_t top);

// Of the whole vocabulary: [vocab_size].
std::vector<float> LogDistribution(absl::Span<const float> logits, double log_sum);

}  // namespace sinkstream
