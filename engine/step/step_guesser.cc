#include "engine/step/step_guesser.h"

#include <algorithm>

namespace sinkstream {

void StepGuesser::Run(absl::Span<StepCandidate> candidates, absl::Span<Session* const> sessions) {
  const auto decodes = [](const StepCandidate& candidate) { return candidate.decodes; };
  if (most_ == 0 || candidates.size() >= kGuessedStepRows) return;
  if (!std::all_of(candidates.begin(), candidates.end(), decodes)) return;
  continuations_.clear();
  chances_.clear();
  for (const auto& candidate : candidates) {
    const Session& session = *sessions[candidate.index];
    continuations_.push_back(
        FindContinuation(session.recent.AsSpan(), session.requests.front().last()));
    chances_.push_back(ChanceBehind(session.guesses, continuations_.back().run));
  }
  ShareGuesses(chances_, most_, turn_++, shares_);
  for (size_t i = 0; i < candidates.size(); ++i) {
    candidates[i].guesses = Guess(*sessions[candidates[i].index], continuations_[i], shares_[i]);
  }
}

int32_t StepGuesser::Guess(Session& session, const Continuation& from, int32_t most) {
  Sequence& sequence = session.requests.front();
  const int64_t count = std::min<int64_t>(
      {most, sequence.tokens_left() - 1, session.window.RowsWithinReservation() - 1});
  if (count <= 0) return 0;
  session.guesses.run = from.run;
  GuessTokens(session.recent.AsSpan(), sequence.last(), from, static_cast<int32_t>(count),
              guesses_);
  return sequence.Guess(guesses_, format_);
}

}  // namespace sinkstream
