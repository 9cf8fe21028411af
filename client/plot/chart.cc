#include "client/plot/chart.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "absl/strings/str_format.h"

namespace sinkstream::plot {
namespace {

constexpr double kWidth = 960;
constexpr double kHeight = 560;
constexpr double kLeft = 72;
constexpr double kRight = kWidth - 172;
constexpr double kBottom = kHeight - 62;
constexpr double kLegendTop = 78;
constexpr double kLegendLine = 19;
constexpr char kGrey[] = "#555555";
constexpr char kGrid[] = "#dddddd";

struct Range {
  double least = std::numeric_limits<double>::infinity();
  double most = -std::numeric_limits<double>::infinity();
  void Take(double value) {
    least = std::min(least, value);
    most = std::max(most, value);
  }
};

// Where values lie on the paper.
struct Frame {
  Range x, y;
  double top = 0;
  double X(double value) const {
    return kLeft + (value - x.least) / (x.most - x.least) * (kRight - kLeft);
  }
  double Y(double value) const {
    return kBottom - (value - y.least) / (y.most - y.least) * (kBottom - top);
  }
};

Frame MakeFrame(const Chart& chart) {
  Frame frame;
  frame.top = kLegendTop + kLegendLine * static_cast<double>(chart.series.size()) + 12;
  frame.x.Take(0);
  for (const Series& series : chart.series) {
    for (const Point& point : series.points) {
      frame.x.Take(point.x);
      frame.y.Take(point.y);
    }
  }
  if (frame.y.least > frame.y.most) frame.y = {0, 1};  // no point at all
  const double room = std::max(0.05, (frame.y.most - frame.y.least) * 0.08);
  frame.y = {frame.y.least - room, frame.y.most + room};
  if (chart.from_zero) frame.y.least = 0;
  frame.x.most = std::max(frame.x.most, 1.0);
  return frame;
}

class Painter {
 public:
  explicit Painter(const Chart& chart) : chart_(chart), frame_(MakeFrame(chart)) {
    drawing_.width = kWidth;
    drawing_.height = kHeight;
    drawing_.title = chart.title;
  }

  Drawing Paint() && {
    drawing_.shapes.emplace_back(Box{{0, 0}, kWidth, kHeight});
    PaintHead();
    PaintAxes();
    PaintMoments();
    PaintSeries();
    PaintNames();
    return std::move(drawing_);
  }

 private:
  void Line(std::vector<Point> points, Stroke stroke) {
    drawing_.shapes.emplace_back(Polyline{std::move(points), std::move(stroke)});
  }
  void Write(Label label) { drawing_.shapes.emplace_back(std::move(label)); }

  void PaintHead() {
    Write({.at = {kLeft, 32}, .text = chart_.title, .size = 18, .bold = true});
    Write({.at = {kLeft, 54}, .text = chart_.subtitle, .size = 12.5, .colour = kGrey});
    double y = kLegendTop;
    for (const Series& series : chart_.series) {
      Line({{kLeft, y}, {kLeft + 44, y}}, Of(series.style));
      Write({.at = {kLeft + 54, y + 4.5}, .text = series.legend, .size = 12.5});
      y += kLegendLine;
    }
  }

  void PaintAxes() {
    for (const double y : Ticks(frame_.y.least, frame_.y.most, 6)) {
      Line({{kLeft, frame_.Y(y)}, {kRight, frame_.Y(y)}}, {.colour = kGrid, .dashes = {}});
      Write({.at = {kLeft - 8, frame_.Y(y) + 4},
             .text = absl::StrFormat("%g", y),
             .anchor = Anchor::kEnd});
    }
    for (const double x : Ticks(frame_.x.least, frame_.x.most, 7, /*least_step=*/1)) {
      Line({{frame_.X(x), kBottom}, {frame_.X(x), kBottom + 5}}, {.dashes = {}});
      Write({.at = {frame_.X(x), kBottom + 20},
             .text = absl::StrFormat("%.0f", x),
             .anchor = Anchor::kMiddle});
    }
    Line({{kLeft, frame_.top}, {kLeft, kBottom}, {kRight, kBottom}}, {.dashes = {}});
    Write({.at = {(kLeft + kRight) / 2, kHeight - 18},
           .text = chart_.x_label,
           .size = 13,
           .anchor = Anchor::kMiddle});
    Write({.at = {22, (frame_.top + kBottom) / 2},
           .text = chart_.y_label,
           .size = 13,
           .anchor = Anchor::kMiddle,
           .upwards = true});
  }

  void PaintMoments() {
    for (const Moment& moment : chart_.moments) {
      const double x = frame_.X(moment.x);
      Line({{x, frame_.top}, {x, kBottom}}, {.colour = kGrey, .width = 1.2, .dashes = {2, 3}});
      const bool in_left_half = x < (kLeft + kRight) / 2;
      Write({.at = {x + (in_left_half ? 6 : -6), frame_.top + 12},
             .text = moment.text,
             .anchor = in_left_half ? Anchor::kStart : Anchor::kEnd,
             .colour = kGrey});
    }
  }

  // Thick ones first: a thin line that lies on a thick one is seen.
  void PaintSeries() {
    std::vector<const Series*> order;
    order.reserve(chart_.series.size());
    for (const Series& series : chart_.series) order.push_back(&series);
    std::stable_sort(order.begin(), order.end(), [](const Series* a, const Series* b) {
      return a->style.width > b->style.width;
    });
    for (const Series* series : order) {
      std::vector<Point> points;
      points.reserve(series->points.size());
      for (const Point& point : series->points) {
        points.push_back({frame_.X(point.x), frame_.Y(point.y)});
      }
      if (points.size() == 1) Dot(points.front(), series->style);
      Line(std::move(points), Of(series->style));
    }
  }

  // A line of one point has no length.
  void Dot(const Point& at, const Style& style) {
    const double side = 4 + 2 * style.width;
    drawing_.shapes.emplace_back(Box{{at.x - side / 2, at.y - side / 2}, side, side, style.colour});
  }

  void PaintNames() {
    std::vector<const Series*> named;
    std::vector<double> heights;
    for (const Series& series : chart_.series) {
      if (series.points.empty()) continue;
      named.push_back(&series);
      heights.push_back(frame_.Y(series.points.back().y) + 4);
    }
    heights = SpreadApart(std::move(heights), 15);
    for (size_t i = 0; i < named.size(); ++i) {
      Write({.at = {frame_.X(named[i]->points.back().x) + 7, heights[i]},
             .text = named[i]->name,
             .bold = true,
             .colour = named[i]->style.colour});
    }
  }

  static Stroke Of(const Style& style) { return {style.colour, style.width, style.dashes}; }

  const Chart& chart_;
  const Frame frame_;
  Drawing drawing_;
};

void MoveDown(Polyline& line, double by) {
  for (Point& point : line.points) point.y += by;
}
void MoveDown(Box& box, double by) { box.corner.y += by; }
void MoveDown(Label& label, double by) { label.at.y += by; }

}  // namespace

const Style& StyleOf(size_t i) {
  static const std::array<Style, 5> kStyles = {{
      {"#000000", 1.4, {}},
      {"#d55e00", 2, {9, 4}},
      {"#0072b2", 3.2, {}},
      {"#009e73", 2, {2, 3}},
      {"#cc79a7", 2, {9, 3, 2, 3}},
  }};
  return kStyles.at(i % kStyles.size());
}

std::vector<double> Ticks(double least, double most, int count, double least_step) {
  const double rough = (most - least) / count;
  const double power = std::pow(10, std::floor(std::log10(rough)));
  double step = 10 * power;
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= rough) {
      step = factor * power;
      break;
    }
  }
  step = std::max(step, least_step);
  std::vector<double> ticks;
  const auto last = static_cast<int64_t>(std::floor(most / step + 1e-9));
  for (auto i = static_cast<int64_t>(std::ceil(least / step - 1e-9)); i <= last; ++i) {
    ticks.push_back(static_cast<double>(i) * step);
  }
  return ticks;
}

std::vector<double> SpreadApart(std::vector<double> heights, double gap) {
  std::vector<size_t> order(heights.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return heights[a] < heights[b]; });
  // Neighbours that are too close form a block around the middle of what they asked for.
  struct Block {
    double sum;  // of the heights that its first member would like
    double count;
    double First() const { return sum / count; }
  };
  std::vector<Block> blocks;
  for (const size_t i : order) {
    blocks.push_back({heights[i], 1});
    while (blocks.size() > 1) {
      const Block last = blocks.back();
      Block& before = blocks[blocks.size() - 2];
      if (before.First() + before.count * gap <= last.First()) break;
      before.sum += last.sum - last.count * before.count * gap;
      before.count += last.count;
      blocks.pop_back();
    }
  }
  size_t next = 0;
  for (const Block& block : blocks) {
    for (double place = 0; place < block.count; ++place) {
      heights[order[next++]] = block.First() + place * gap;
    }
  }
  return heights;
}

Drawing Draw(const Chart& chart) { return Painter(chart).Paint(); }

Drawing Stack(const std::vector<Drawing>& drawings) {
  Drawing stack = drawings.front();
  for (size_t i = 1; i < drawings.size(); ++i) {
    for (auto shape : drawings[i].shapes) {
      std::visit([&](auto& one) { MoveDown(one, stack.height); }, shape);
      stack.shapes.push_back(std::move(shape));
    }
    stack.height += drawings[i].height;
  }
  return stack;
}

}  // namespace sinkstream::plot
