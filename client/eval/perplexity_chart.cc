#include "client/eval/perplexity_chart.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/eval/statistics.h"

namespace sinkstream::eval {
namespace {

// Points of a curve: more are not told apart.
constexpr int64_t kPoints = 400;

std::string Legend(const Policy& policy) {
  switch (policy.kind) {
    case PolicyKind::kDense:
      return "dense: every token sees all before it; its cache grows without end";
    case PolicyKind::kWindow:
      return absl::StrCat("window: the last ", policy.window,
                          " tokens, the first ones are evicted");
    case PolicyKind::kSink:
      return absl::StrCat("sink: the first ", policy.sinks,
                          " tokens stay for ever beside the last ", policy.window);
    case PolicyKind::kRecompute:
      return absl::StrCat("recompute: the last ", policy.cache(),
                          " tokens, read afresh for each token");
  }
  return "";
}

// Of the moving mean: enough to see a trend, little enough to see a moment.
int64_t Width(int64_t tokens) { return std::clamp<int64_t>(tokens / 16, 16, 1024); }

std::vector<plot::Point> Points(const Curve& curve, int64_t width) {
  const std::vector<double> means = MovingMean(curve.nll, width);
  const int64_t step = std::max<int64_t>(1, std::ssize(means) / kPoints);
  std::vector<plot::Point> points;
  // The mean of a few tokens at the start says little.
  for (int64_t t = width / 2; t < std::ssize(means); t += step) {
    const double mean = means[static_cast<size_t>(t)];
    const bool scored = !std::isnan(curve.nll[static_cast<size_t>(t)]);
    if (scored) points.push_back({static_cast<double>(t), mean});
  }
  return points;
}

plot::Series MakeSeries(const Curve& curve, int64_t width) {
  return {.legend = Legend(curve.policy),
          .name = absl::StrFormat("%s: %.2f", Name(curve.policy.kind), curve.perplexity),
          .points = Points(curve, width),
          .style = plot::StyleOf(static_cast<size_t>(curve.policy.kind))};
}

}  // namespace

plot::Chart PerplexityChart(const std::string& model, const std::vector<Curve>& curves,
                            int64_t cache) {
  int64_t tokens = 0;
  bool evicts = false;
  for (const Curve& curve : curves) {
    tokens = std::max(tokens, std::ssize(curve.nll));
    evicts |= curve.policy.kind != PolicyKind::kDense;
  }
  const int64_t width = Width(tokens);
  plot::Chart chart;
  chart.title = absl::StrCat("How well ", model, " predicts a text");
  chart.subtitle =
      "Lower is better. At the end of each line: its perplexity over all tokens after the warmup.";
  chart.x_label = "position in the text (tokens)";
  chart.y_label = absl::StrCat("log perplexity, mean of the last ", width, " tokens");
  for (const Curve& curve : curves) chart.series.push_back(MakeSeries(curve, width));
  if (evicts && cache < tokens) {
    chart.moments.push_back(
        {static_cast<double>(cache),
         absl::StrCat("the cache of ", cache, " tokens is full: the first eviction")});
  }
  return chart;
}

}  // namespace sinkstream::eval
