// What is told on standard error beside the results: notes, and how far a long measurement is, by a
// bar that redraws itself in a terminal and a line now and then otherwise.
//
// Threads: one.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

#include "absl/time/time.h"

namespace sinkstream::eval {

// One line.
void Note(std::string_view text);

// "[#####.....]  50 %  1,500 of 3,000 tokens  512/s  3 s left  NOTE"
std::string ProgressLine(int64_t done, int64_t total, int64_t begun_at, absl::Duration elapsed,
                         std::string_view note);

class Progress {
 public:
  // `begun_at`: tokens that were done before, which tell nothing about the speed.
  Progress(FILE* out, bool terminal, int64_t total, int64_t begun_at = 0);
  static Progress OnStandardError(int64_t total, int64_t begun_at = 0);
  // Leaves the last line of a terminal standing, as wide as that.
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void Show(int64_t done, std::string_view note);

 private:
  FILE* const out_;
  const bool terminal_;
  const int64_t total_;
  const int64_t begun_at_;
  const absl::Time start_;
  absl::Time shown_;
  size_t width_ = 0;  // of the line that stands in a terminal
};

}  // namespace sinkstream::eval
