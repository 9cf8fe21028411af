#include "engine/speculation.h"

#include <algorithm>

namespace sinkstream {
namespace {

// The matrix products of 8 rows take 1.6 times those of one with weights of 4 bits
// (docs/adr/0013).
constexpr int32_t kCheapRows = 8;
constexpr int64_t kLongestRun = 8;  // tokens, `last` among them: a longer one says no more
constexpr int32_t kMostFailures = 6;

// Tokens of `text` that end before `end` and are the same as those that end it: at most `most`.
int64_t CommonRun(absl::Span<const TokenId> text, int64_t end, int64_t most) {
  const auto size = static_cast<int64_t>(text.size());
  int64_t run = 0;
  while (run < most && run < end && text[end - 1 - run] == text[size - 1 - run]) ++run;
  return run;
}

// Where the continuation of the longest earlier run begins, `last` counted as text[size]; behind
// that if there is none.
int64_t FindContinuation(absl::Span<const TokenId> text, TokenId last) {
  const auto size = static_cast<int64_t>(text.size());
  int64_t best = size + 1;
  int64_t longest = 0;  // of `text`, `last` aside
  for (int64_t at = size - 1; at > 0 && longest < kLongestRun - 1; --at) {
    if (text[at] != last || text[at - 1] != text[size - 1]) continue;
    const int64_t run = CommonRun(text, at, kLongestRun - 1);
    if (run <= longest) continue;
    longest = run;
    best = at + 1;
  }
  return best;
}

}  // namespace

int32_t GuessesEach(int64_t decodes, int64_t prompts, int32_t most) {
  if (decodes == 0 || prompts > 0) return 0;
  const int64_t rows = std::max(kCheapRows, most + 1);
  return static_cast<int32_t>(std::clamp<int64_t>(rows / decodes - 1, 0, most));
}

GuessRecord AfterStep(GuessRecord record, int32_t guessed, int32_t accepted) {
  if (guessed == 0) {
    record.rest = std::max(0, record.rest - 1);
  } else if (accepted == 0) {
    record.most = 1;
    record.failures = std::min(record.failures + 1, kMostFailures);
    record.rest = 1 << record.failures;
  } else {
    const int32_t doubled = std::max(record.most, std::min(2 * guessed, kMaxSpeculativeTokens));
    record.most = accepted == guessed ? doubled : accepted;
    record.failures = 0;
  }
  return record;
}

void GuessTokens(absl::Span<const TokenId> text, TokenId last, int64_t most,
                 std::vector<TokenId>& guesses) {
  guesses.clear();
  const auto size = static_cast<int64_t>(text.size());
  const int64_t begin = FindContinuation(text, last);
  if (begin > size) return;
  const auto at = [&](int64_t i) {
    if (i < size) return text[i];
    return i == size ? last : guesses[i - size - 1];
  };
  for (int64_t i = begin; i < begin + most; ++i) guesses.push_back(at(i));
}

}  // namespace sinkstream
