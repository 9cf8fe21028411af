#include "client/eval/statistics.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>

namespace sinkstream::eval {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

void ScoreSum::Add(double nll) {
  if (std::isnan(nll)) return;
  total += nll;
  ++tokens;
}

double ScoreSum::Mean() const { return tokens == 0 ? kNone : total / static_cast<double>(tokens); }

ScoreSum Sum(std::span<const double> nll, int64_t first) {
  ScoreSum sum;
  for (size_t t = static_cast<size_t>(first); t < nll.size(); ++t) sum.Add(nll[t]);
  return sum;
}

double Perplexity(const ScoreSum& sum) { return std::exp(sum.Mean()); }

std::vector<PerplexityAt> RunningPerplexity(std::span<const double> nll, int64_t first,
                                            int points) {
  const int64_t scored = Sum(nll, first).tokens;
  const int64_t step = std::max<int64_t>(1, scored / points);
  std::vector<PerplexityAt> running;
  ScoreSum sum;
  for (int64_t t = first; t < std::ssize(nll); ++t) {
    if (std::isnan(nll[static_cast<size_t>(t)])) continue;
    sum.Add(nll[static_cast<size_t>(t)]);
    if (sum.tokens % step == 0 || sum.tokens == scored) running.push_back({t, Perplexity(sum)});
  }
  return running;
}

std::vector<double> MovingMean(std::span<const double> nll, int64_t width) {
  std::vector<double> means(nll.size(), kNone);
  std::deque<double> recent;
  for (size_t t = 0; t < nll.size(); ++t) {
    if (!std::isnan(nll[t])) recent.push_back(nll[t]);
    if (std::ssize(recent) > width) recent.pop_front();
    // Summed anew: a running sum would carry its rounding along.
    ScoreSum sum;
    for (const double value : recent) sum.Add(value);
    means[t] = sum.Mean();
  }
  return means;
}

std::vector<int64_t> SampleEvenly(int64_t first, int64_t end, int64_t count) {
  const int64_t available = std::max<int64_t>(0, end - first);
  const int64_t taken = count == 0 ? available : std::min(count, available);
  std::vector<int64_t> tokens;
  tokens.reserve(static_cast<size_t>(taken));
  // In the middle of each of `taken` equal parts.
  for (int64_t i = 0; i < taken; ++i) {
    tokens.push_back(first + (2 * i + 1) * available / (2 * taken));
  }
  return tokens;
}

double KlDivergence(std::span<const float> reference, std::span<const float> other) {
  double divergence = 0;
  for (size_t i = 0; i < reference.size(); ++i) {
    const double p = std::exp(double{reference[i]});
    if (p == 0) continue;  // p log p is 0 at p = 0
    divergence += p * (double{reference[i]} - double{other[i]});
  }
  return divergence;
}

}  // namespace sinkstream::eval
