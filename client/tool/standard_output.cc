#include "client/tool/standard_output.h"

#include <unistd.h>

#include <cstdio>
#include <string>

#include "client/tool/note.h"
#include "client/utf8.h"

namespace sinkstream {

void PrintText(std::string_view text) {
  const std::string shown = isatty(STDOUT_FILENO) != 0 ? Printable(text) : std::string(text);
  std::fwrite(shown.data(), 1, shown.size(), stdout);
}

int FinishPrinting(std::string_view program, int exit_code) {
  // Of earlier writes too, which only the stream remembers.
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return exit_code;
  PrintNote(program, "standard output: cannot write");
  return exit_code == 0 ? 1 : exit_code;
}

}  // namespace sinkstream
