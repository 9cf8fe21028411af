#include "engine/session/scoring.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/errors.h"
#include "engine/sampling/logits.h"
#include "engine/sampling/logprobs.h"
#include "engine/sampling/sampling_rules.h"

namespace sinkstream {
namespace {

// About what a message with distributions may take.
constexpr size_t kEventBytes = size_t{1} << 20;

size_t TokensOfEvent(const ScoringParams& params, size_t tokens, size_t vocab_size) {
  if (!params.distributions) return tokens;
  return std::max<size_t>(1, kEventBytes / (vocab_size * sizeof(float)));
}

}  // namespace

absl::Status ValidateScoring(const ScoringParams& params, const std::string& field_prefix) {
  if (auto top = ValidateTopLogprobs(params.top_logprobs, field_prefix); !top.ok()) return top;
  if (params.skip_tokens < 0) {
    return InvalidField(field_prefix + "skip_tokens",
                        absl::StrCat("is ", params.skip_tokens, "; must be at least 0"));
  }
  return absl::OkStatus();
}

absl::Status CheckDistributions(const ScoringParams& params, int64_t tokens,
                                const std::string& field_prefix) {
  if (!params.distributions || tokens <= kMaxDistributions) return absl::OkStatus();
  return InvalidField(field_prefix + "distributions",
                      absl::StrCat("of ", tokens, " scored tokens; of at most ", kMaxDistributions,
                                   " in a request"));
}

int64_t FirstScored(const Prompt& prompt, const ScoringParams& params, int64_t position,
                    int64_t system_tokens) {
  const int64_t first =
      std::max({int64_t{1}, prompt.owed_tokens + params.skip_tokens, system_tokens + 1 - position});
  return std::min(first, static_cast<int64_t>(prompt.tokens.size()));
}

absl::StatusOr<std::vector<Scores>> ScoreTokens(const StepLogits& given,
                                                absl::Span<const TokenId> tokens, int64_t position,
                                                const ScoringParams& params) {
  std::vector<Scores> events;
  if (tokens.empty()) return events;
  const size_t vocab_size = given.logits.size() / tokens.size();
  const size_t most = TokensOfEvent(params, tokens.size(), vocab_size);
  for (size_t i = 0; i < tokens.size(); ++i) {
    const RowLogits row = RowOf(given, i, vocab_size);
    const auto peak = PeakOf(row);
    if (!peak.ok()) return peak.status();
    if (i % most == 0) events.emplace_back().position = position + static_cast<int64_t>(i);
    Scores& event = events.back();
    const double log_sum = LogSumExp(row.logits, peak->logit);
    event.logprobs.push_back(Logprobs(row.logits, log_sum, tokens[i], params.top_logprobs));
    if (params.distributions) event.distributions.push_back(LogDistribution(row.logits, log_sum));
  }
  return events;
}

}  // namespace sinkstream
