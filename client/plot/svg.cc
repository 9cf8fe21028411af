#include <array>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "client/plot/drawing.h"

namespace sinkstream::plot {
namespace {

std::string Escape(const std::string& text) {
  return absl::StrReplaceAll(text,
                             {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&quot;"}});
}

std::string ToElement(const Polyline& line) {
  const auto point = [](std::string* out, const Point& at) {
    absl::StrAppendFormat(out, "%.2f,%.2f", at.x, at.y);
  };
  const auto& dashes = line.stroke.dashes;
  return absl::StrFormat(
      "<polyline points=\"%s\" fill=\"none\" stroke=\"%s\" stroke-width=\"%g\""
      " stroke-linejoin=\"round\"%s/>\n",
      absl::StrJoin(line.points, " ", point), line.stroke.colour, line.stroke.width,
      dashes.empty() ? "" : absl::StrCat(" stroke-dasharray=\"", absl::StrJoin(dashes, " "), "\""));
}

std::string ToElement(const Box& box) {
  return absl::StrFormat(
      "<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" fill=\"%s\"/>\n", box.corner.x,
      box.corner.y, box.width, box.height, box.fill);
}

std::string ToElement(const Label& label) {
  constexpr std::array kAnchors = {"start", "middle", "end"};
  const std::string turn = label.upwards ? absl::StrFormat(" transform=\"rotate(-90 %.2f %.2f)\"",
                                                           label.at.x, label.at.y)
                                         : "";
  return absl::StrFormat(
      "<text x=\"%.2f\" y=\"%.2f\" font-size=\"%g\" text-anchor=\"%s\" fill=\"%s\"%s%s>%s</text>\n",
      label.at.x, label.at.y, label.size, kAnchors.at(static_cast<size_t>(label.anchor)),
      label.colour, label.bold ? " font-weight=\"bold\"" : "", turn, Escape(label.text));
}

}  // namespace

std::string ToSvg(const Drawing& drawing) {
  std::string svg = absl::StrFormat(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %g %g\" width=\"%g\" height=\"%g\""
      " font-family=\"DejaVu Sans, Verdana, sans-serif\" role=\"img\">\n<title>%s</title>\n",
      drawing.width, drawing.height, drawing.width, drawing.height, Escape(drawing.title));
  for (const auto& shape : drawing.shapes) {
    svg += std::visit([](const auto& it) { return ToElement(it); }, shape);
  }
  return svg + "</svg>\n";
}

}  // namespace sinkstream::plot
