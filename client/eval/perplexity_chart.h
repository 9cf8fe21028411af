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

enum class Picture { kSvg, kPng };

// PNG where the path ends so, SVG otherwise.
Picture PictureOf(const std::string& path);

// No effect without a path.
absl::Status WriteChart(const std::string& path, Picture picture, const plot::Chart& chart);

// Before anything is measured: an error if the path is given and takes no file. UNIMPLEMENTED: this
// binary cannot make such a picture.
absl::Status CheckChart(const std::string& path, Picture picture);

}  // namespace sinkstream::eval
