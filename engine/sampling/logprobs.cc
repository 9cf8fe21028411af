#include "engine/sampling/logprobs.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "engine/sampling/logits.h"

namespace sinkstream {
namespace {

// Few logits displace one of the `count` highest, so these are kept in order.
std::vector<TokenId> Likeliest(absl::Span<const float> logits, size_t count) {
  const auto likelier = [&](TokenId a, TokenId b) {
    return logits[a] > logits[b] || (logits[a] == logits[b] && a < b);
  };
  std::vector<TokenId> top;
  if (count == 0) return top;
  for (TokenId token = 0; token < static_cast<TokenId>(logits.size()); ++token) {
    if (top.size() == count) {
      if (!likelier(token, top.back())) continue;
      top.pop_back();
    }
    top.insert(std::upper_bound(top.begin(), top.end(), token, likelier), token);
  }
  return top;
}

}  // namespace

double LogSumExp(absl::Span<const float> logits, float highest) {
  return highest + std::log(SumOfExps(logits, highest));
}

ChosenLogprob Logprobs(absl::Span<const float> logits, double log_sum, TokenId token, int32_t top) {
  const auto entry = [&](TokenId id) {
    return TokenLogprob{id, static_cast<float>(logits[id] - log_sum)};
  };
  ChosenLogprob result{entry(token), {}};
  for (const TokenId likely : Likeliest(logits, top)) result.top.push_back(entry(likely));
  return result;
}

std::vector<float> LogDistribution(absl::Span<const float> logits, double log_sum) {
  std::vector<float> logprobs(logits.size());
  for (size_t i = 0; i < logits.size(); ++i) logprobs[i] = static_cast<float>(logits[i] - log_sum);
  return logprobs;
}

}  // namespace sinkstream
