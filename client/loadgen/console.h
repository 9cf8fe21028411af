// What is told on standard error while a load runs: a screen that redraws itself in a terminal, a
// line now and then otherwise.
//
// Threads: one.
#pragma once

#include <cstdio>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "client/loadgen/clock.h"

namespace sinkstream::loadgen {

// One line.
void Note(std::string_view text);

class LiveScreen {
 public:
  // `clock` and `out` outlive this.
  LiveScreen(const Clock& clock, FILE* out, bool terminal);
  static LiveScreen OnStandardError(const Clock& clock);
  // Takes the screen away: the results follow.
  ~LiveScreen();
  LiveScreen(const LiveScreen&) = delete;
  LiveScreen& operator=(const LiveScreen&) = delete;

  bool terminal() const { return terminal_; }
  // In a terminal, in place of what it showed before; otherwise if the last line is old enough.
  // `text`: lines with their ends in a terminal, which are cut to its width; one line without
  // otherwise.
  void Show(const std::string& text);
  // What Show() draws now would be seen.
  bool Due() const;

 private:
  void Clear();

  const Clock& clock_;
  FILE* const out_;
  const bool terminal_;
  absl::Time shown_;
  int lines_ = 0;  // that stand in a terminal
};

}  // namespace sinkstream::loadgen
