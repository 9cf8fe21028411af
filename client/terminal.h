// Reading lines and Ctrl-C from file descriptors. An interrupt descriptor is readable when Ctrl-C
// has been pressed; -1 stands for none, and then Ctrl-C ends the process as usual.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <thread>

namespace sinkstream {

// From now on Ctrl-C does not end the process: it makes the returned descriptor readable. Call
// before any other thread is made. The descriptor stays open for the life of the process.
int RouteInterrupts();

class LineReader {
 public:
  // The descriptors outlive this and are not closed by it.
  LineReader(int input, int interrupts) : input_(input), interrupts_(interrupts) {}

  // The next line without its end ("\n" or "\r\n"); a last line need not have one. Nothing at the
  // end of input, or when an interrupt comes first, which is then used up.
  std::optional<std::string> Next();

 private:
  // False if there is no more to come.
  bool Fill();

  const int input_;
  const int interrupts_;
  std::string buffer_;
};

// While it lives, a thread of its own calls `on_interrupt` for each interrupt, with its number from
// 1 on.
class InterruptWatch {
 public:
  InterruptWatch(int interrupts, std::function<void(int)> on_interrupt);
  ~InterruptWatch();
  InterruptWatch(const InterruptWatch&) = delete;
  InterruptWatch& operator=(const InterruptWatch&) = delete;

 private:
  void Watch();

  const int interrupts_;
  const std::function<void(int)> on_interrupt_;
  const int stop_;  // an eventfd
  std::thread thread_;
};

}  // namespace sinkstream
