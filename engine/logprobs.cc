#include "engine/logprobs.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>

namespace sinkstream {
namespace {

// Loops over a chunk do one thing each and have no branch, so that the compiler makes vectors of
// them.
constexpr size_t kChunk = 256;
using Chunk = std::array<float, kChunk>;

// exp(x) of -87 <= x <= 0, to a relative 3e-7. It is 2^n * exp(r), with n whole and |r| <= ln(2) /
// 2, where exp is its Taylor polynomial of degree 7.
inline float ExpOfNegative(float x) {
  constexpr float kLog2e = 1.44269504f;
  constexpr float kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;  // n * high is exact
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: what is added to it becomes whole
  const float shifted = x * kLog2e + kRound;
  const float n = shifted - kRound;
  const float r = (x - n * kLn2High) - n * kLn2Low;
  float exp_r = (1.0f / 5040) * r + 1.0f / 720;
  exp_r = ((exp_r * r + 1.0f / 120) * r + 1.0f / 24) * r + 1.0f / 6;
  exp_r = ((exp_r * r + 0.5f) * r + 1.0f) * r + 1.0f;
  // The low bits of `shifted` are n: into the exponent.
  const uint32_t power = (std::bit_cast<uint32_t>(shifted) << 23) + 0x3f800000u;
  return exp_r * std::bit_cast<float>(power);
}

// Of exp(logit - highest). What is below exp(-87), about 1e-38, counts as that much.
double SumOfExps(absl::Span<const float> logits, float highest) {
  Chunk terms = {};
  const size_t count = logits.size();
  for (size_t i = 0; i < count; ++i) {
    const float x = logits[i] - highest;
    terms[i] = x < -87.0f ? -87.0f : x;
  }
  for (size_t i = 0; i < count; ++i) terms[i] = ExpOfNegative(terms[i]);
  size_t width = kChunk;
  while (width > 32) {
    width /= 2;
    for (size_t i = 0; i < width; ++i) terms[i] += terms[i + width];
  }
  return std::accumulate(terms.begin(), terms.begin() + width, 0.0);
}

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

absl::StatusOr<float> HighestLogit(absl::Span<const float> logits) {
  constexpr float kLargest = std::numeric_limits<float>::max();
  Chunk highest;
  highest.fill(-std::numeric_limits<float>::infinity());
  int bad = 0;
  for (size_t begin = 0; begin < logits.size(); begin += kChunk) {
    const auto chunk = logits.subspan(begin, kChunk);
    for (size_t i = 0; i < chunk.size(); ++i) {
      highest[i] = highest[i] < chunk[i] ? chunk[i] : highest[i];
    }
    for (const float logit : chunk) bad |= static_cast<int>(!(logit <= kLargest));  // so is NaN
  }
  const float all = *std::max_element(highest.begin(), highest.end());
  if (bad == 0 && std::isfinite(all)) return all;
  return absl::InternalError("the model gave logits that are not finite");
}

double LogSumExp(absl::Span<const float> logits, float highest) {
  double sum = 0;
  for (size_t begin = 0; begin < logits.size(); begin += kChunk) {
    sum += SumOfExps(logits.subspan(begin, kChunk), highest);
  }
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
  std::vector<float> logprobs(logits.size());
  for (size_t i = 0; i < logits.size(); ++i) logprobs[i] = static_cast<float>(logits[i] - log_sum);
  return logprobs;
}

}  // namespace sinkstream
