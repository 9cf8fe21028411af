#include "engine/session/speculation.h"

#include <algorithm>

namespace sinkstream {
namespace {

// A step takes as long for reading the weights as for so many rows
// (docs/adr/0013-prompt-lookup.md).
constexpr float kRowsOfReading = 12;

constexpr int64_t kLongestRun = 8;  // tokens, `last` among them: a longer one says no more
constexpr float kLearning = 1.0f / 8;
constexpr float kForgetting = 1.0f / 64;

// Tokens of `text` that end before `end` and are the same as those that end it: at most `most`.
int64_t CommonRun(absl::Span<const TokenId> text, int64_t end, int64_t most) {
  const auto size = static_cast<int64_t>(text.size());
  int64_t run = 0;
  while (run < most && run < end && text[end - 1 - run] == text[size - 1 - run]) ++run;
  return run;
}

size_t KindOfRun(int32_t run) { return run < 4 ? 0 : run < 7 ? 1 : 2; }

float Toward(float from, float to, float part) { return from + (to - from) * part; }

// Guesses of a sequence that are right, with all before them, with a chance above `least`.
int32_t GuessesWithChance(float chance, float least, int32_t most) {
  int32_t guesses = 0;
  for (float all = chance; guesses < most && all > least; all *= chance) ++guesses;
  return guesses;
}

int64_t GuessesWithChance(absl::Span<const float> chances, float least, int32_t most) {
  int64_t guesses = 0;
  for (const float chance : chances) guesses += GuessesWithChance(chance, least, most);
  return guesses;
}

}  // namespace

Continuation FindContinuation(absl::Span<const TokenId> text, TokenId last) {
  const auto size = static_cast<int64_t>(text.size());
  Continuation found;
  for (int64_t at = size - 1; at > 0 && found.run < kLongestRun; --at) {
    if (text[at] != last || text[at - 1] != text[size - 1]) continue;
    const auto run = static_cast<int32_t>(CommonRun(text, at, kLongestRun - 1)) + 1;
    if (run > found.run) found = {at + 1, run};
  }
  return found;
}

void GuessTokens(absl::Span<const TokenId> text, TokenId last, const Continuation& from,
                 int32_t count, std::vector<TokenId>& guesses) {
  guesses.clear();
  const auto size = static_cast<int64_t>(text.size());
  for (int64_t at = from.begin; at < from.begin + count; ++at) {
    guesses.push_back(at < size ? text[at] : at == size ? last : guesses[at - size - 1]);
  }
}

float ChanceBehind(const GuessRecord& record, int32_t run) {
  return run == 0 ? 0 : std::min(record.chances[KindOfRun(run)], kSurest);
}

GuessRecord AfterStep(GuessRecord record, int32_t guessed, int32_t accepted) {
  if (guessed == 0) {
    const GuessRecord fresh;
    for (size_t kind = 0; kind < record.chances.size(); ++kind) {
      record.chances[kind] = Toward(record.chances[kind], fresh.chances[kind], kForgetting);
    }
    return record;
  }
  float& chance = record.chances[KindOfRun(record.run)];
  for (int32_t i = 0; i < accepted; ++i) chance = Toward(chance, 1, kLearning);
  if (accepted < guessed) chance = Toward(chance, 0, kLearning);
  return record;
}

void ShareGuesses(absl::Span<const float> chances, int32_t most, size_t turn,
                  std::vector<int32_t>& guesses) {
  const auto sequences = static_cast<float>(chances.size());
  const float step = kRowsOfReading + sequences;
  const auto rows = static_cast<int64_t>(std::min(step, kGuessedStepRows - sequences));
  // A row has to give as many tokens in its time as the step gives without it.
  float least = sequences / step, fitting = least;
  while (fitting < kSurest && GuessesWithChance(chances, fitting, most) > rows) {
    least = fitting;
    fitting = Toward(fitting, 1, kLearning);
  }
  guesses.clear();
  for (const float chance : chances) guesses.push_back(GuessesWithChance(chance, fitting, most));
  int64_t spare = rows - GuessesWithChance(chances, fitting, most);
  for (size_t i = 0; i < chances.size() && spare > 0; ++i) {
    const size_t place = (turn + i) % chances.size();
    const int64_t more = GuessesWithChance(chances[place], least, most) - guesses[place];
    guesses[place] += static_cast<int32_t>(std::min(more, spare));
    spare -= std::min(more, spare);
  }
}

}  // namespace sinkstream
