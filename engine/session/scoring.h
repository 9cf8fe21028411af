// Scoring: the log-probabilities of a text that is read. The logits of row i are about token i + 1,
// so a scored append feeds all of its tokens but the last, which it scores and leaves to the next
// request to feed (KeepLast, prompt.h). So appends of one text are scored as one text. Pure
// functions; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/model.h"
#include "engine/session/prompt.h"
#include "engine/types.h"

namespace sinkstream {

// Most tokens of a request whose whole distributions are told: each is vocab_size floats.
inline constexpr int64_t kMaxDistributions = 64;

// INVALID_ARGUMENT naming `field_prefix` + field, what it was and the limit.
absl::Status ValidateScoring(const ScoringParams& params, const std::string& field_prefix);
// The same of `tokens` scored ones.
absl::Status CheckDistributions(const ScoringParams& params, int64_t tokens,
                                const std::string& field_prefix);

// Of a prompt that begins at text position `position`, the first token that is scored, by its
// index; prompt.tokens.size() if none is. What the session owed is not, nor what no row stands
// before: the first token of a session or behind its system prompt (of `system_tokens`, which may
// have been read by somebody else), or of a prompt whose session owes nothing.
int64_t FirstScored(const Prompt& prompt, const ScoringParams& params, int64_t position,
                    int64_t system_tokens);

// Scores `tokens`, the first at text position `position`, with what the model gave of the row
// before each. Several events only where distributions make them big. INTERNAL if logits are not
// finite.
absl::StatusOr<std::vector<Scores>> ScoreTokens(const StepLogits& given,
                                                absl::Span<const TokenId> tokens, int64_t position,
                                                const ScoringParams& params);

}  // namespace sinkstream
