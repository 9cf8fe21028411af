// Speculation: guesses at the next tokens of a reply, taken from the session's own text (prompt
// lookup: what followed the latest tokens where they stood before), fed behind the last sampled
// token in the same step and kept as far as the sampler draws the same ones
// (engine/step/step_sampler.h). So a reply is what it would be without guesses, and gets several
// tokens for one reading of the weights and of its keys and values. Pure functions; any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "engine/types.h"

namespace sinkstream {

inline constexpr int32_t kMaxSpeculativeTokens = 32;
// Rows of a step that guesses share with the sequences' last tokens; a step of as many sequences
// has none. From so many rows on a guess gains little, and every sequence waits for it
// (docs/adr/0013-prompt-lookup.md).
inline constexpr int32_t kGuessedStepRows = 48;

// The longest earlier run of the tokens that end a text, of equally long ones the latest.
struct Continuation {
  int64_t begin = 0;  // what followed it; a text's last token counts, and guesses follow that
  int32_t run = 0;    // its tokens: 2 to 8, the latter for longer ones too; 0 where none recur
};

// Of `text` and then `last`. Takes time in proportion to text.size().
Continuation FindContinuation(absl::Span<const TokenId> text, TokenId last);

// Replaces `guesses` with the `count` tokens that followed the run; a run that reaches to the end
// repeats. Requires a run.
void GuessTokens(absl::Span<const TokenId> text, TokenId last, const Continuation& from,
                 int32_t count, std::vector<TokenId>& guesses);

// How the guesses of a session have fared: the chance that one is right if those before it are. A
// long run says more than a short one.
struct GuessRecord {
  std::array<float, 3> chances = {0.5f, 0.8f, 0.95f};  // behind runs of 2 or 3, 4 to 6, 7 or more
  int32_t run = 0;                                     // that the guesses being verified follow
};

// Within [0, kSurest]; 0 without a run.
inline constexpr float kSurest = 0.98f;
float ChanceBehind(const GuessRecord& record, int32_t run);

// The record after a step that verified `guessed` guesses, of which the first `accepted` were
// right. Where none were made, what is thought of them returns slowly to what it was at first, so
// that they are tried again.
GuessRecord AfterStep(GuessRecord record, int32_t guessed, int32_t accepted);

// How many guesses each sequence of a step has verified; replaces `guesses`. All sequences decode.
// `chances`: that their first guesses are right, kSurest at most; the n-th guess has the n-th power
// of it. `most`: guesses of one sequence.
//   - A guess is made if its chance is worth its row.
//   - If these would double the step's time, or fill more than kGuessedStepRows, the surest are.
//   - Of those about as sure as the last that fits, as many as fit are made, from the sequence
//     `turn` (modulo their number) on.
void ShareGuesses(absl::Span<const float> chances, int32_t most, size_t turn,
                  std::vector<int32_t>& guesses);

}  // namespace sinkstream
