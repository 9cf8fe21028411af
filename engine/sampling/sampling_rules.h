// What sampling parameters may be: merging a client's overrides into inherited values, and the
// limits of engine/types.h. Pure functions; any thread.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "engine/types.h"

namespace sinkstream {

inline constexpr int32_t kMaxPenaltyLastN = 4096;

// `base` with every field that `overrides` gives.
SamplingParams ApplyOverrides(SamplingParams base, const SamplingOverrides& overrides);

// Of lists as a client gives them, before they wait anywhere: INVALID_ARGUMENT naming
// `field_prefix` + "stop_strings" or "stop_tokens", for more of either, or longer strings, than
// SamplingParams may hold.
absl::Status ValidateStops(const SamplingOverrides& overrides, const std::string& field_prefix);

// Of a turn or of a text that is scored. INVALID_ARGUMENT naming `field_prefix` + "top_logprobs".
absl::Status ValidateTopLogprobs(int32_t top_logprobs, const std::string& field_prefix);

// INVALID_ARGUMENT naming `field_prefix` + field, what it was and the limit, for NaN, infinite or
// out-of-range values.
absl::Status ValidateSampling(const SamplingParams& params, int32_t vocab_size,
                              int32_t max_tokens_limit, const std::string& field_prefix);

}  // namespace sinkstream
