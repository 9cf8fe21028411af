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

}  // namespace
}  // namespace sinkstream
