#include "client/utf8.h"

#include <gtest/gtest.h>

#include <string>

namespace sinkstream {
namespace {

TEST(IsUtf8Test, TakesEveryCharacter) {
  for (const char* text : {"", "plain", "caf\u00e9", "\u07ff\u0800\xed\x9f\xbf\ue000\uffff",
                           "\U00010000\U0010ffff", "\u4f60\u597d \U0001f600"}) {
    EXPECT_TRUE(IsUtf8(text)) << text;
  }
  EXPECT_TRUE(IsUtf8(std::string(1, '\0')));
}

TEST(IsUtf8Test, RefusesWhatIsNoCharacter) {
  for (const char* text : {"\x80", "caf\xe9", "caf\xe9 x", "\xc0\x80", "\xc1\xbf", "\xc3",
                           "\xe0\x9f\xbf", "\xe4\xbd", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf",
                           "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "\xf0\x9f\x98"}) {
    EXPECT_FALSE(IsUtf8(text)) << text;
  }
}

TEST(PrintableTest, KeepsTextAndItsLines) {
  for (const char* text : {"", "a\tb\n", " ~\u00a0\u00c2\u00e9", "\u4f60 \U0001f600"}) {
    EXPECT_EQ(Printable(text), text);
  }
}

TEST(PrintableTest, ReplacesWhatControlsATerminal) {
  EXPECT_EQ(Printable("\x1b]52;c;eA==\a!"), "\ufffd]52;c;eA==\ufffd!");
  for (const char* control : {"\x01", "\b", "\v", "\f", "\r", "\x1b", "\x1f", "\x7f", "\u0080",
                              "\u009b", "\u009f", "\x9b", "\xc2"}) {
    EXPECT_EQ(Printable(control), "\ufffd") << testing::PrintToString(control);
  }
  EXPECT_EQ(Printable(std::string(1, '\0')), "\ufffd");
}

}  // namespace
}  // namespace sinkstream
