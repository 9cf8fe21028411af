// A terminal of a test's own, and what a program has drawn in it.
#pragma once

#include <gtest/gtest.h>
#include <pty.h>
#include <termios.h>
#include <unistd.h>

#include <cstdio>
#include <string>

namespace sinkstream {

class NarrowTerminal {
 public:
  explicit NarrowTerminal(unsigned short columns) {
    const winsize size = {.ws_row = 24, .ws_col = columns, .ws_xpixel = 0, .ws_ypixel = 0};
    termios settings = {};
    cfmakeraw(&settings);  // what is drawn comes out as it is
    int end = -1;
    EXPECT_EQ(openpty(&screen_, &end, nullptr, &settings, &size), 0);
    out_ = fdopen(end, "w");
  }
  ~NarrowTerminal() {
    std::fclose(out_);
    close(screen_);
  }
  NarrowTerminal(const NarrowTerminal&) = delete;
  NarrowTerminal& operator=(const NarrowTerminal&) = delete;

  FILE* out() const { return out_; }
  // What was drawn since the last call.
  std::string Drawn() const {
    constexpr char kMark = '\0';  // behind it: a terminal gives what it has piece by piece
    std::fputc(kMark, out_);
    std::fflush(out_);
    std::string drawn;
    for (char byte; read(screen_, &byte, 1) == 1 && byte != kMark;) drawn += byte;
    return drawn;
  }

 private:
  int screen_ = -1;
  FILE* out_ = nullptr;
};

}  // namespace sinkstream
