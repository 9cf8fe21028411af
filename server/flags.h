// The server's command line, by Abseil's flags: --model=x or --model x, also from --flagfile=FILE.
#pragma once

#include <optional>

#include "server/config.h"

namespace sinkstream {

// Prints help, the version or the list of metrics and returns nothing if that was asked for. An
// unknown flag or a value that does not parse ends the process with exit code 1 and a line on
// standard error that names it; so does an argument that is no flag.
std::optional<ServerConfig> ParseCommandLine(int argc, char* argv[]);

}  // namespace sinkstream
