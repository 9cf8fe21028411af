#include "client/tool/note.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string>

#include "client/utf8.h"

namespace sinkstream {

void PrintNote(std::string_view program, std::string_view text) {
  std::string note = std::string(program).append(": ").append(text);
  std::replace(note.begin(), note.end(), '\n', ' ');
  if (isatty(STDERR_FILENO) != 0) note = Printable(note);
  std::fprintf(stderr, "%s\n", note.c_str());
}

}  // namespace sinkstream
