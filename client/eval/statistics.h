// What is computed of a text's scores. Pure. A score is a token's negative log-likelihood in nats;
// NaN stands for a token that was not scored.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace sinkstream::eval {

// A sum of scores, to be continued.
struct ScoreSum {
  double total = 0;    // nats
  int64_t tokens = 0;  // that were scored

  // NaN is passed over.
  void Add(double nll);
  // NaN of no token.
  double Mean() const;
};

// Of the scores of `nll` from token `first` on.
ScoreSum Sum(std::span<const double> nll, int64_t first);

// e to the mean score; NaN of no token.
double Perplexity(const ScoreSum& sum);

struct PerplexityAt {
  int64_t token = 0;  // the last one of those counted
  double perplexity = 0;
};

// Perplexity of tokens `first` to t, for about `points` values of t, the last scored token among
// them.
std::vector<PerplexityAt> RunningPerplexity(std::span<const double> nll, int64_t first, int points);

// At each token the mean of the last `width` scores there are, NaN where there is none. From the
// start to `width` the mean of what there is so far.
std::vector<double> MovingMean(std::span<const double> nll, int64_t width);

// `count` tokens of [first, end), evenly spread and rising; all of them if 0 or if there are not
// more.
std::vector<int64_t> SampleEvenly(int64_t first, int64_t end, int64_t count);

// Kullback-Leibler divergence of `other` from `reference`, nats; both are log-probabilities of the
// same vocabulary.
double KlDivergence(std::span<const float> reference, std::span<const float> other);

}  // namespace sinkstream::eval
