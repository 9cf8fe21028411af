// Speculation: guesses at the next tokens of a reply, taken from the session's own text (prompt
// lookup: what followed the latest tokens where they stood before), fed behind the last sampled
// token in the same step and kept as far as the sampler draws the same ones (step_sampler.h). So a
// reply is what it would be without guesses, and a session alone gets several tokens for one
// reading of the weights. Pure functions; any thread.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "engine/types.h"

namespace sinkstream {

inline constexpr int32_t kMaxSpeculativeTokens = 32;

// Guesses that each of `decodes` decoding sequences may have verified in a step, at most `most`.
// None beside a prompt (`prompts` of them wait), whose rows make the step dear already, and none
// where the decodes fill the rows up to which a step costs little more than that of one row.
int32_t GuessesEach(int64_t decodes, int64_t prompts, int32_t most);

// How the guesses of a session have fared.
struct GuessRecord {
  int32_t most = 1;      // to make at a time
  int32_t rest = 0;      // steps without guesses still to come
  int32_t failures = 0;  // since one was right

  friend bool operator==(const GuessRecord&, const GuessRecord&) = default;
};

// The record after a step that verified `guessed` guesses (0: none were made), of which the first
// `accepted` were right. Guesses double while all are right, and shrink to what was; where none was
// the session rests, longer each time, up to 64 steps.
GuessRecord AfterStep(GuessRecord record, int32_t guessed, int32_t accepted);

// Replaces `guesses` with up to `most` tokens that may follow `text` and then `last`: what followed
// the longest earlier run of the same tokens, of equally long ones the latest; a run that reaches
// to the end repeats. Empty if no two tokens together recur. Takes time in proportion to
// text.size().
void GuessTokens(absl::Span<const TokenId> text, TokenId last, int64_t most,
                 std::vector<TokenId>& guesses);

}  // namespace sinkstream
