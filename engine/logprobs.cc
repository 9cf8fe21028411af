#include "engine/logprobs.h"

#include <algorithm>
#include <cmath>
#include <limits>

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

absl::Status CheckLogits(absl::Span<const float> logits) {
  float highest = -std::numeric_limits<float>::infinity();
  bool nan = false;
  for (const float logit : logits) {
    nan |= std::isnan(logit);
    highest = std::max(highest, logit);
  }
  if (!nan && std::isfinite(highest)) return absl::OkStatus();
  return absl::InternalError("the model gave logits that are not finite");
}

double LogSumExp(absl::Span<const float> logits) {
  const double highest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - highest);
  return highest + std::log(sum);
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
  std::vector<float> logprobs;
  logprobs.reserve(logits.size());
  for (const float logit : logits) logprobs.push_back(static_cast<float>(logit - log_sum));
  return logprobs;
}

}  // namespace sinkstream
