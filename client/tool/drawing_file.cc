#include "client/tool/drawing_file.h"

#include "absl/strings/match.h"
#include "client/tool/output_file.h"

namespace sinkstream {

constexpr double kPixelsAPoint = 2;

Picture PictureOf(const std::string& path) {
  return absl::EndsWithIgnoreCase(path, ".png") ? Picture::kPng : Picture::kSvg;
}

absl::Status CheckDrawing(const std::string& path, Picture picture) {
  if (path.empty()) return absl::OkStatus();
  const absl::Status writable = CheckWritable(path);
  if (!writable.ok() || picture == Picture::kSvg) return writable;
  plot::Drawing smallest;
  smallest.width = smallest.height = 1;
  return plot::ToPng(smallest, 1).status();
}

absl::Status WriteDrawing(const std::string& path, Picture picture, const plot::Drawing& drawing) {
  if (path.empty()) return absl::OkStatus();
  if (picture == Picture::kSvg) return WriteWhole(path, plot::ToSvg(drawing));
  const auto png = plot::ToPng(drawing, kPixelsAPoint);
  return png.ok() ? WriteWhole(path, *png) : png.status();
}

}  // namespace sinkstream
