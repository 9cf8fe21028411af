#include "engine/step_guesser.h"

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
    continuations_.push_back(FindContinuation(session.recent, session.requests.front().last()));
    chances_.push_back(ChanceBehind(session.guesses, continuations_.back().run));
  }
  const float least = LeastChance(chances_, most_);
  for (size_t i = 0; i < candidates.size(); ++i) {
    candidates[i].guesses = Guess(*sessions[candidates[i].index], i, least);
  }
}

int32_t StepGuesser::Guess(Session& session, size_t place, float least) {
  Sequence& sequence = session.requests.front();
  const int64_t useful =
      std::min<int64_t>({GuessesWithChance(chances_[place], least, most_),
                         sequence.tokens_left() - 1, session.window.RowsWithinReservation() - 1});
  if (useful <= 0) return 0;
  session.guesses.run = continuations_[place].run;
  GuessTokens(session.recent, sequence.last(), continuations_[place], static_cast<int32_t>(useful),
              guesses_);
  return sequence.Guess(guesses_, format_);
}

}  // namespace sinkstream
