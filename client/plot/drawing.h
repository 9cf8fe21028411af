// A drawing of lines, boxes and labels, and what it is written as. Unit: points, from the upper
// left corner.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"

namespace sinkstream::plot {

struct Point {
  double x = 0;
  double y = 0;
};

struct Stroke {
  std::string colour = "#000000";  // "#rrggbb"
  double width = 1;
  std::vector<double> dashes;  // lengths of strokes and gaps in turn; none: solid
};

struct Polyline {
  std::vector<Point> points;
  Stroke stroke;
};

struct Box {
  Point corner;  // upper left
  double width = 0;
  double height = 0;
  std::string fill = "#ffffff";  // "#rrggbb"
};

enum class Anchor { kStart, kMiddle, kEnd };

struct Label {
  Point at;  // on the text's base line
  std::string text;
  double size = 12;
  Anchor anchor = Anchor::kStart;
  bool bold = false;
  bool upwards = false;  // turned to be read from below to above
  std::string colour = "#000000";
};

struct Drawing {
  double width = 0;
  double height = 0;
  std::string title;                                       // for who cannot see it
  std::vector<std::variant<Polyline, Box, Label>> shapes;  // later ones above earlier ones
};

std::string ToSvg(const Drawing& drawing);

// `scale` pixels a point. UNIMPLEMENTED: this binary was built without cairo.
absl::StatusOr<std::string> ToPng(const Drawing& drawing, double scale);

}  // namespace sinkstream::plot
