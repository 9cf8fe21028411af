#include "client/tool/standard_output.h"

#include <cstdio>

#include "client/tool/note.h"

namespace sinkstream {

int FinishPrinting(std::string_view program, int exit_code) {
  // Of earlier writes too, which only the stream remembers.
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return exit_code;
  PrintNote(program, "standard output: cannot write");
  return exit_code == 0 ? 1 : exit_code;
}

}  // namespace sinkstream
