// Logits: loops over one row of logits, a vocabulary long, written so that compilers make vectors
// of them: a token takes them unless its peak, which the model tells, is enough. Pure; any thread.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/model.h"
#include "engine/types.h"

namespace sinkstream {

// INTERNAL if `logits`, of a row, hold a NaN or +infinity, or nothing but -infinity.
absl::StatusOr<Peak> FindPeak(absl::Span<const float> logits);

// What the model gave of one row.
struct RowLogits {
  // [vocab_size]; not to be read if there is a peak and nothing else was wanted (model.h).
  absl::Span<const float> logits;
  std::optional<Peak> peak = {};  // absent: the model does not tell it
};
RowLogits RowOf(const StepLogits& given, size_t row, size_t vocab_size);

// Its peak, given or found. INTERNAL as FindPeak, by the peak alone where it is given.
absl::StatusOr<Peak> PeakOf(const RowLogits& row);

// The tokens whose logit is `floor` or more, in the order of their ids. Replaces `tokens`.
void FindAtLeast(absl::Span<const float> logits, float floor, std::vector<TokenId>& tokens);

// exp of every value, which is at most 0; relative error 2e-7, and 0 below about -87.
void ExpInPlace(absl::Span<float> values);

// The sum of exp(logit - highest), `highest` being the highest of `logits`. Terms, and sums of
// eight of them, are float; sums of these are double.
double SumOfExps(absl::Span<const float> logits, float highest);

}  // namespace sinkstream
