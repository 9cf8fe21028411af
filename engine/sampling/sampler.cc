#include "engine/sampling/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "engine/sampling/logits.h"
#include "engine/sampling/logprobs.h"

namespace sinkstream {
namespace {

bool HasPenalty(const SamplingParams& params) {
  return params.penalty_last_n > 0 &&
         (params.repetition_penalty != 1 || params.presence_penalty != 0 ||
          params.frequency_penalty != 0);
}

// Likelier first; of equals the lower id.
bool Likelier(const std::pair<float, TokenId>& a, const std::pair<float, TokenId>& b) {
  return a.first > b.first || (a.first == b.first && a.second < b.second);
}

// What lies so many temperatures below the highest logit is never drawn: all of it together weighs
// less than logits are exact to.
constexpr double kDepth = 30;

}  // namespace

double UniformDraw(uint64_t seed, uint64_t index) {
  // splitmix64 (Steele, Lea, Flood 2014), its state set to seed + (index + 1) golden gammas.
  uint64_t z = seed + (index + 1) * 0x9E3779B97F4A7C15ULL;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
  z ^= z >> 31;
  return static_cast<double>(z >> 11) * 0x1.0p-53;
}

bool TakesPeakAlone(const SamplingParams& params) {
  return params.temperature == 0 && !HasPenalty(params) && !params.top_logprobs;
}

absl::StatusOr<Sampled> Sampler::Sample(const RowLogits& row, const SamplingParams& params,
                                        absl::Span<const TokenId> recent, double draw) {
  const auto peak = PeakOf(row);
  if (!peak.ok()) return peak.status();
  Sampled sampled;
  sampled.token = Choose(row.logits, *peak, params, recent, draw);
  if (params.top_logprobs) {
    const double log_sum = LogSumExp(row.logits, peak->logit);
    sampled.logprob = Logprobs(row.logits, log_sum, sampled.token, *params.top_logprobs);
  }
  return sampled;
}

TokenId Sampler::Choose(absl::Span<const float> logits, const Peak& peak,
                        const SamplingParams& params, absl::Span<const TokenId> recent,
                        double draw) {
  if (!HasPenalty(params)) return Draw(logits, peak, params, draw);
  const auto scores = Penalise(logits, params, recent);
  return Draw(scores, FindPeak(scores).value(), params, draw);  // finite where `logits` are
}

absl::Span<const float> Sampler::Penalise(absl::Span<const float> logits,
                                          const SamplingParams& params,
                                          absl::Span<const TokenId> recent) {
  if (recent.size() > static_cast<size_t>(params.penalty_last_n)) {
    recent.remove_prefix(recent.size() - params.penalty_last_n);
  }
  penalised_.assign(logits.begin(), logits.end());
  counts_.resize(logits.size());
  for (const TokenId token : recent) ++counts_[token];
  for (const TokenId token : recent) {
    const int32_t count = std::exchange(counts_[token], 0);
    if (count == 0) continue;
    double logit = logits[token];
    logit = logit < 0 ? logit * params.repetition_penalty : logit / params.repetition_penalty;
    logit -= params.presence_penalty + params.frequency_penalty * count;
    // A tiny penalty must not make it infinite: two infinities have no order.
    constexpr double kLargest = std::numeric_limits<float>::max();
    penalised_[token] = static_cast<float>(std::clamp(logit, -kLargest, kLargest));
  }
  return penalised_;
}

void Sampler::FillCandidates(absl::Span<const float> logits, float highest, double temperature) {
  FindAtLeast(logits, static_cast<float>(highest - kDepth * temperature), tokens_);
  weights_.resize(tokens_.size());
  const auto sharpness = static_cast<float>(std::min(1 / temperature, 1e30));  // times 0 it is 0
  for (size_t i = 0; i < tokens_.size(); ++i) {
    weights_[i] = (logits[tokens_[i]] - highest) * sharpness;
  }
  ExpInPlace(absl::MakeSpan(weights_));
  candidates_.resize(tokens_.size());
  for (size_t i = 0; i < tokens_.size(); ++i) candidates_[i] = {weights_[i], tokens_[i]};
}

// Sorts as many candidates as reach `top_p` of `mass` and returns their number. Few usually do, so
// the sorted head grows from small instead of the whole vocabulary being sorted.
size_t Sampler::KeepTopP(double top_p, double mass) {
  size_t sorted = 0;
  double sum = 0;
  for (size_t head = 64; sorted < candidates_.size(); head *= 4) {
    const auto begin = candidates_.begin() + sorted;
    const auto end = candidates_.begin() + std::min(head, candidates_.size());
    std::partial_sort(begin, end, candidates_.end(), Likelier);
    for (auto it = begin; it != end; ++it) {
      sum += it->first;
      if (sum >= top_p * mass) return it - candidates_.begin() + 1;
    }
    sorted = end - candidates_.begin();
  }
  return candidates_.size();
}

TokenId Sampler::Draw(absl::Span<const float> logits, const Peak& peak,
                      const SamplingParams& params, double draw) {
  if (params.temperature == 0) return peak.token;
  FillCandidates(logits, peak.logit, params.temperature);
  if (params.top_k > 0 && static_cast<size_t>(params.top_k) < candidates_.size()) {
    std::nth_element(candidates_.begin(), candidates_.begin() + params.top_k - 1, candidates_.end(),
                     Likelier);
    candidates_.resize(params.top_k);
    std::sort(candidates_.begin(), candidates_.end(), Likelier);
  }
  if (params.top_p < 1) {
    double mass = 0;
    for (const auto& candidate : candidates_) mass += candidate.first;
    candidates_.resize(KeepTopP(params.top_p, mass));
  }
  if (params.min_p > 0) {  // scores are relative to the likeliest, whose own is 1
    std::erase_if(candidates_, [&](const auto& c) { return c.first < params.min_p; });
  }
  double mass = 0;
  for (const auto& candidate : candidates_) mass += candidate.first;
  double sum = 0;
  for (const auto& [score, token] : candidates_) {
    sum += score;
    if (score > 0 && sum > draw * mass) return token;
  }
  return candidates_.front().second;  // rounding at draw close to 1
}

}  // namespace sinkstream
