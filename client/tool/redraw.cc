#include "client/tool/redraw.h"

#include <sys/ioctl.h>

namespace sinkstream {

std::string CutLines(std::string_view text, FILE* out) {
  winsize size = {};
  if (ioctl(fileno(out), TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return std::string(text);
  std::string cut;
  int column = 0;
  for (const char byte : text) {
    const bool begins_character = (static_cast<unsigned char>(byte) & 0xc0) != 0x80;
    if (byte == '\n') {
      column = 0;
    } else if (begins_character) {
      ++column;
    }
    if (column <= size.ws_col) cut += byte;
  }
  return cut;
}

}  // namespace sinkstream
