// Drawings as files.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "client/plot/drawing.h"

namespace sinkstream {

enum class Picture { kSvg, kPng };

// PNG where the path ends so, SVG otherwise.
Picture PictureOf(const std::string& path);

// No effect without a path.
absl::Status WriteDrawing(const std::string& path, Picture picture, const plot::Drawing& drawing);

// Before anything is measured: an error if the path is given and takes no file. UNIMPLEMENTED: this
// binary cannot make such a picture.
absl::Status CheckDrawing(const std::string& path, Picture picture);

}  // namespace sinkstream
