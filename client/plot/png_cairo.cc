#include <cairo.h>

#include <cstdlib>
#include <memory>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "client/plot/drawing.h"

namespace sinkstream::plot {
namespace {

void SetColour(cairo_t* to, const std::string& colour) {
  const long rgb = std::strtol(colour.c_str() + 1, nullptr, 16);
  cairo_set_source_rgb(to, static_cast<double>(rgb >> 16 & 0xff) / 255,
                       static_cast<double>(rgb >> 8 & 0xff) / 255,
                       static_cast<double>(rgb & 0xff) / 255);
}

void Draw(cairo_t* to, const Polyline& line) {
  SetColour(to, line.stroke.colour);
  cairo_set_line_width(to, line.stroke.width);
  cairo_set_line_join(to, CAIRO_LINE_JOIN_ROUND);
  cairo_set_dash(to, line.stroke.dashes.data(), static_cast<int>(line.stroke.dashes.size()), 0);
  cairo_new_path(to);  // a label leaves its end as the current point
  for (const Point& point : line.points) cairo_line_to(to, point.x, point.y);
  cairo_stroke(to);
}

void Draw(cairo_t* to, const Box& box) {
  SetColour(to, box.fill);
  cairo_rectangle(to, box.corner.x, box.corner.y, box.width, box.height);
  cairo_fill(to);
}

void Draw(cairo_t* to, const Label& label) {
  SetColour(to, label.colour);
  cairo_select_font_face(to, "DejaVu Sans", CAIRO_FONT_SLANT_NORMAL,
                         label.bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
  cairo_set_font_size(to, label.size);
  cairo_text_extents_t extents;
  cairo_text_extents(to, label.text.c_str(), &extents);
  cairo_save(to);
  cairo_translate(to, label.at.x, label.at.y);
  if (label.upwards) cairo_rotate(to, -3.14159265358979323846 / 2);
  cairo_move_to(to, -extents.x_advance * static_cast<double>(label.anchor) / 2, 0);
  cairo_show_text(to, label.text.c_str());
  cairo_restore(to);
}

cairo_status_t Append(void* to, const unsigned char* bytes, unsigned int count) {
  static_cast<std::string*>(to)->append(reinterpret_cast<const char*>(bytes), count);
  return CAIRO_STATUS_SUCCESS;
}

}  // namespace

absl::StatusOr<std::string> ToPng(const Drawing& drawing, double scale) {
  const std::unique_ptr<cairo_surface_t, void (*)(cairo_surface_t*)> surface(
      cairo_image_surface_create(CAIRO_FORMAT_RGB24, static_cast<int>(drawing.width * scale),
                                 static_cast<int>(drawing.height * scale)),
      cairo_surface_destroy);
  const std::unique_ptr<cairo_t, void (*)(cairo_t*)> to(cairo_create(surface.get()), cairo_destroy);
  cairo_scale(to.get(), scale, scale);
  for (const auto& shape : drawing.shapes) {
    std::visit([&](const auto& it) { Draw(to.get(), it); }, shape);
  }
  std::string png;
  // An error of any call before sticks to the surface.
  const cairo_status_t status = cairo_surface_write_to_png_stream(surface.get(), Append, &png);
  if (status == CAIRO_STATUS_SUCCESS) return png;
  return absl::InternalError(absl::StrCat("cairo: ", cairo_status_to_string(status)));
}

}  // namespace sinkstream::plot
