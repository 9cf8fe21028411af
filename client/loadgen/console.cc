#include "client/loadgen/console.h"

#include <unistd.h>

#include <algorithm>

#include "absl/strings/str_format.h"
#include "client/tool/note.h"
#include "client/tool/redraw.h"

namespace sinkstream::loadgen {
void Note(std::string_view text) { PrintNote("sinkstream-loadgen", text); }

LiveScreen::LiveScreen(const Clock& clock, FILE* out, bool terminal)
    : clock_(clock),
      out_(out),
      terminal_(terminal),
      shown_(terminal ? absl::InfinitePast() : clock.Now()) {}

LiveScreen LiveScreen::OnStandardError(const Clock& clock) {
  return {clock, stderr, isatty(STDERR_FILENO) != 0};
}

LiveScreen::~LiveScreen() { Clear(); }

bool LiveScreen::Due() const { return clock_.Now() - shown_ >= RedrawInterval(terminal_); }

void LiveScreen::Show(const std::string& text) {
  shown_ = clock_.Now();
  Clear();
  std::fputs(terminal_ ? CutLines(text, out_).c_str() : (text + "\n").c_str(), out_);
  std::fflush(out_);
  if (terminal_) lines_ = static_cast<int>(std::count(text.begin(), text.end(), '\n'));
}

void LiveScreen::Clear() {
  // Up to the first line, and all below it away.
  if (lines_ > 0) absl::FPrintF(out_, "\x1b[%dA\x1b[J", lines_);
  lines_ = 0;
}

}  // namespace sinkstream::loadgen
