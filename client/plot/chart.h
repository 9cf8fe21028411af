// A chart of several lines, to be read without explanation: title, axes, legend, a name at the end
// of each line. Told apart by colour-blind eyes and in black and white. Pure.
#pragma once

#include <string>
#include <vector>

#include "client/plot/drawing.h"

namespace sinkstream::plot {

struct Style {
  std::string colour;
  double width = 2;
  std::vector<double> dashes;
};

// Colours of Okabe and Ito's palette; each with a dash pattern or width of its own. Wraps around.
const Style& StyleOf(size_t i);

struct Series {
  std::string legend;  // what it is, in a few words
  std::string name;    // at its end, short
  std::vector<Point> points;
  Style style;
};

// A moment: an upright line with words beside it.
struct Moment {
  double x = 0;
  std::string text;
};

struct Chart {
  std::string title;
  std::string subtitle;
  std::string x_label;  // of whole numbers
  std::string y_label;
  std::vector<Series> series;
  std::vector<Moment> moments;
  bool from_zero = false;  // the upright axis begins there; values are not negative
};

Drawing Draw(const Chart& chart);

// One above the other; of the first one's width and title. At least one.
Drawing Stack(const std::vector<Drawing>& drawings);

// Round numbers that part [least, most] into about `count` steps, none shorter than `least_step`.
std::vector<double> Ticks(double least, double most, int count, double least_step = 0);

// Moves label heights apart, by as little as keeps `gap` between neighbours; the order stays.
std::vector<double> SpreadApart(std::vector<double> heights, double gap);

}  // namespace sinkstream::plot
