// The picture of an evaluation: log perplexity against position.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "client/eval/policy.h"
#include "client/plot/chart.h"

namespace sinkstream::eval {

// What one policy has made of a text.
struct Curve {
  Policy policy;
  std::span<const double> nll;  // by token; NaN: no score
  double perplexity = 0;        // after the warmup
};

// Moving means of the curves; marks where a cache of `cache` tokens is full. Pure.
plot::Chart PerplexityChart(const std::string& model, const std::vector<Curve>& curves,
                            int64_t cache);

}  // namespace sinkstream::eval
