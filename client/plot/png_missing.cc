// In place of png_cairo.cc where the build has found no cairo.
#include "absl/status/status.h"
#include "client/plot/drawing.h"

namespace sinkstream::plot {

absl::StatusOr<std::string> ToPng(const Drawing&, double) {
  return absl::UnimplementedError("PNG is not built in: it takes cairo (libcairo2-dev) at build");
}

}  // namespace sinkstream::plot
