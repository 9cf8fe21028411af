// What a client prints on standard output.
#pragma once

#include <string_view>

namespace sinkstream {

// Prints `text`, of whole characters. In a terminal nothing of it, were some of it the server's,
// controls that.
void PrintText(std::string_view text);

// Behind the last of them: the exit code of `program`, which is 1 instead of 0, and a note on
// standard error, if any of what was printed could not be written (a full disk, a closed pipe).
int FinishPrinting(std::string_view program, int exit_code);

}  // namespace sinkstream
