#include "client/tool/note.h"

#include <gtest/gtest.h>

namespace sinkstream {
namespace {

TEST(PrintNote, AMessageOfSeveralLinesPassesForNoFurtherNote) {
  testing::internal::CaptureStderr();
  PrintNote("sinkstream-eval", "no room\nsinkstream-eval: all is well");
  EXPECT_EQ(testing::internal::GetCapturedStderr(),
            "sinkstream-eval: no room sinkstream-eval: all is well\n");
}

}  // namespace
}  // namespace sinkstream
