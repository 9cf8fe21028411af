// StepGuesser: which sequences of a step have guesses verified, and which guesses
// (engine/session/speculation.h). Engine thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "engine/session/session.h"
#include "engine/session/speculation.h"
#include "engine/step/step_planner.h"
#include "engine/text/chat_format.h"

namespace sinkstream {

class StepGuesser {
 public:
  // Guesses `most` tokens of a sequence in a step, [0, kMaxSpeculativeTokens]. `format` outlives
  // this.
  StepGuesser(int32_t most, const ChatFormat& format) : most_(most), format_(format) {}

  // Sets `guesses` of the candidates, whose `index` is of `sessions`, and tells their sequences
  // which. None beside a prompt, whose rows make the step dear already, nor where the candidates
  // fill the step by themselves. Keeps its memory from step to step.
  void Run(absl::Span<StepCandidate> candidates, absl::Span<Session* const> sessions);

 private:
  // Guesses `most` tokens that follow `from`, or as many as there is room for; returns how many.
  int32_t Guess(Session& session, const Continuation& from, int32_t most);

  const int32_t most_;
  const ChatFormat& format_;
  std::vector<Continuation> continuations_;  // of each candidate
  std::vector<float> chances_;
  std::vector<int32_t> shares_;
  std::vector<TokenId> guesses_;
  size_t turn_ = 0;  // of ShareGuesses
};

}  // namespace sinkstream
