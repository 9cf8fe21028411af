// What a tool tells on standard error beside its results.
#pragma once

#include <string_view>

namespace sinkstream {

// "PROGRAM: TEXT", one line. In a terminal nothing of it, were it a server's message, controls
// that.
void PrintNote(std::string_view program, std::string_view text);

}  // namespace sinkstream
