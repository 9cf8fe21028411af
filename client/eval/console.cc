#include "client/eval/console.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "client/tool/note.h"
#include "client/tool/redraw.h"

namespace sinkstream::eval {
namespace {

constexpr int kBarWidth = 20;

std::string TimeLeft(double seconds) {
  const int64_t left = std::lround(seconds);
  if (left < 100) return absl::StrFormat("%d s left", left);
  if (left < 6000) return absl::StrFormat("%d min left", (left + 30) / 60);
  return absl::StrFormat("%d h %d min left", left / 3600, left % 3600 / 60);
}

}  // namespace

void Note(std::string_view text) { PrintNote("sinkstream-eval", text); }

std::string ProgressLine(int64_t done, int64_t total, int64_t begun_at, absl::Duration elapsed,
                         std::string_view note) {
  const double part = total > 0 ? static_cast<double>(done) / static_cast<double>(total) : 1;
  const int filled = static_cast<int>(part * kBarWidth);
  std::string line = absl::StrFormat("[%s%s] %3.0f %%  %d of %d tokens", std::string(filled, '#'),
                                     std::string(kBarWidth - filled, '.'), part * 100, done, total);
  const double seconds = absl::ToDoubleSeconds(elapsed);
  if (done > begun_at && seconds > 0) {
    const double rate = static_cast<double>(done - begun_at) / seconds;
    absl::StrAppendFormat(&line, "  %.0f/s  %s", rate,
                          TimeLeft(static_cast<double>(total - done) / rate));
  }
  if (!note.empty()) absl::StrAppendFormat(&line, "  %s", note);
  return line;
}

Progress::Progress(FILE* out, bool terminal, int64_t total, int64_t begun_at)
    : out_(out),
      terminal_(terminal),
      total_(total),
      begun_at_(begun_at),
      start_(absl::Now()),
      shown_(terminal ? absl::InfinitePast() : start_) {}

Progress Progress::OnStandardError(int64_t total, int64_t begun_at) {
  return {stderr, isatty(STDERR_FILENO) != 0, total, begun_at};
}

Progress::~Progress() {
  if (terminal_ && width_ > 0) std::fputs("\n", out_);
}

void Progress::Show(int64_t done, std::string_view note) {
  const absl::Time now = absl::Now();
  if (done < total_ && now - shown_ < RedrawInterval(terminal_)) return;
  shown_ = now;
  std::string line = ProgressLine(done, total_, begun_at_, now - start_, note);
  const size_t width = line.size();
  if (terminal_) {
    line.resize(std::max(width_, width), ' ');
    line = CutLines(line, out_);
  }
  std::fprintf(out_, terminal_ ? "\r%s" : "%s\n", line.c_str());
  std::fflush(out_);
  width_ = width;
}

}  // namespace sinkstream::eval
