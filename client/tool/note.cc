#include "client/tool/note.h"

#include <unistd.h>

#include <cstdio>
#include <string>

#include "client/utf8.h"

namespace sinkstream {

void PrintNote(std::string_view program, std::string_view text) {
  const std::string note = std::string(program).append(": ").append(text).append("\n");
  std::fputs(isatty(STDERR_FILENO) != 0 ? Printable(note).c_str() : note.c_str(), stderr);
}

}  // namespace sinkstream
