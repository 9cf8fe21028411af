#include "client/terminal.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <future>
#include <string>

namespace sinkstream {
namespace {

class InputPipe {
 public:
  InputPipe() { EXPECT_EQ(pipe(ends_.data()), 0); }
  ~InputPipe() {
    CloseWriteEnd();
    close(ends_[0]);
  }
  int read_end() const { return ends_[0]; }
  void Write(const std::string& bytes) {
    EXPECT_EQ(write(ends_[1], bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  }
  void CloseWriteEnd() {
    if (ends_[1] >= 0) close(std::exchange(ends_[1], -1));
  }

 private:
  std::array<int, 2> ends_;
};

TEST(LineReaderTest, GivesLinesWithoutTheirEnds) {
  InputPipe input;
  input.Write("one\ntwo\r\n\nlast");
  input.CloseWriteEnd();
  LineReader lines(input.read_end(), -1);
  EXPECT_EQ(lines.Next(), "one");
  EXPECT_EQ(lines.Next(), "two");
  EXPECT_EQ(lines.Next(), "");
  EXPECT_EQ(lines.Next(), "last");
  EXPECT_EQ(lines.Next(), std::nullopt);
  EXPECT_EQ(lines.Next(), std::nullopt);
}

TEST(LineReaderTest, JoinsALineThatComesInPieces) {
  InputPipe input;
  LineReader lines(input.read_end(), -1);
  auto line = std::async(std::launch::async, [&] { return lines.Next(); });
  input.Write("hel");
  input.Write("lo\n");
  EXPECT_EQ(line.get(), "hello");
}

TEST(LineReaderTest, ReadsALineLongerThanItsBuffer) {
  InputPipe input;
  const std::string longer(20000, 'x');
  input.Write(longer + "\n");
  LineReader lines(input.read_end(), -1);
  EXPECT_EQ(lines.Next(), longer);
}

TEST(LineReaderTest, AnInterruptEndsTheWaitAndDropsTheUnfinishedLine) {
  InputPipe input, interrupts;
  LineReader lines(input.read_end(), interrupts.read_end());
  input.Write("whole\nunfinished");
  EXPECT_EQ(lines.Next(), "whole");
  interrupts.Write("!");
  EXPECT_EQ(lines.Next(), std::nullopt);
  input.CloseWriteEnd();
  EXPECT_EQ(lines.Next(), std::nullopt);
}

TEST(InterruptWatchTest, CountsTheInterruptsOfItsLife) {
  InputPipe interrupts;
  std::promise<void> first, second;
  {
    InterruptWatch watch(interrupts.read_end(),
                         [&](int number) { (number == 1 ? first : second).set_value(); });
    interrupts.Write("!");
    first.get_future().wait();
    interrupts.Write("!");
    second.get_future().wait();
  }
}

TEST(InterruptWatchTest, EndsWithoutAnInterrupt) {
  InputPipe interrupts;
  bool called = false;
  {
    InterruptWatch watch(interrupts.read_end(), [&](int) { called = true; });
  }
  {
    InterruptWatch watch(-1, [&](int) { called = true; });
  }
  EXPECT_FALSE(called);
}

}  // namespace
}  // namespace sinkstream
