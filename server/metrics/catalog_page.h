// The catalog as a page of documentation.
#pragma once

#include <string>

namespace sinkstream {

// Markdown, lines ended by newlines: what docs/metrics.md holds and `--print_metrics` prints.
std::string CatalogPage();

}  // namespace sinkstream
