// The picture of an evaluation: log perplexity against position.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
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

// As PNG where the path ends so, as SVG otherwise. No effect without a path.
absl::Status WriteChart(const std::string& path, const plot::Chart& chart);

// UNIMPLEMENTED: the path asks for a picture that this binary cannot make.
absl::Status CheckPicture(const std::string& path);

}  // namespace sinkstream::eval
