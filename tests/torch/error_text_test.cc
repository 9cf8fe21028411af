#include "engine/torch/error_text.h"

#include <gtest/gtest.h>

#include <stdexcept>

namespace sinkstream {
namespace {

TEST(OneLine, LeavesTextAsItIs) {
  EXPECT_EQ(OneLine(""), "");
  EXPECT_EQ(OneLine("dtype \"float8\" \\ größer, 文, 🙂"), "dtype \"float8\" \\ größer, 文, 🙂");
}

TEST(OneLine, EscapesWhatWouldBreakTheLineOrDriveATerminal) {
  EXPECT_EQ(OneLine("a\nb\r\n\tc"), "a\\nb\\r\\n\\tc");
  EXPECT_EQ(OneLine(std::string("\0\x1b[2J\x7f", 6)), "\\x00\\x1b[2J\\x7f");
  EXPECT_EQ(OneLine("a\u0085b\u009bc"), "a\\xc2\\x85b\\xc2\\x9bc");
  EXPECT_EQ(OneLine("a\u2028b\u2029"), "a\\xe2\\x80\\xa8b\\xe2\\x80\\xa9");
}

TEST(OneLine, EscapesBrokenUtf8) {
  EXPECT_EQ(OneLine("\xff"), "\\xff");
  EXPECT_EQ(OneLine("\xe6\x96"), "\\xe6\\x96");
  EXPECT_EQ(OneLine("\xe6\x96\x87\x87z"), "文\\x87z");
  EXPECT_EQ(OneLine("\xed\xa0\x80"), "\\xed\\xa0\\x80");  // a surrogate
}

TEST(Reason, IsTheLineThatSaysWhatIsWrong) {
  EXPECT_EQ(Reason(std::runtime_error("no such thing\nat frame 0")), "no such thing");
  EXPECT_EQ(Reason(std::runtime_error("\n\nUnknown builtin op: a::b.\nHere are some")),
            "Unknown builtin op: a::b.");
  EXPECT_EQ(Reason(std::runtime_error("Traceback\n  line\nRuntimeError: embedding: token\n")),
            "embedding: token");
  EXPECT_EQ(Reason(std::runtime_error("[enforce fail at inline_container.cc:230] . version 999")),
            "version 999");
  EXPECT_EQ(Reason(std::runtime_error("[enforce fail at")), "[enforce fail at");
  EXPECT_EQ(Reason(std::runtime_error("[enforce fail at x")), "[enforce fail at x");
  EXPECT_EQ(Reason(std::runtime_error(std::string(1000, 'x'))).size(), 200);
  EXPECT_EQ(Reason(std::runtime_error("\n")), "");
}

}  // namespace
}  // namespace sinkstream
