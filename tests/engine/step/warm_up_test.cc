#include "engine/step/warm_up.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/fakes/fake_model.h"

namespace sinkstream {
namespace {

using testing::ElementsAre;

TEST(WarmUp, RunsPromptsAndTwoTokensBehindTheLongest) {
  FakeModel model({.block_tokens = 16});
  EXPECT_TRUE(WarmUp(model).ok());
  EXPECT_THAT(model.step_rows(), ElementsAre(ElementsAre(1), ElementsAre(2), ElementsAre(64),
                                             ElementsAre(1), ElementsAre(1)));
}

TEST(WarmUp, FitsIntoTheSmallestPools) {
  FakeModel one({.num_blocks = 1, .block_tokens = 1});
  EXPECT_TRUE(WarmUp(one).ok());
  EXPECT_THAT(one.step_rows(), ElementsAre(ElementsAre(1), ElementsAre(1)));
  FakeModel block({.num_blocks = 1, .block_tokens = 16});
  EXPECT_TRUE(WarmUp(block).ok());
  EXPECT_THAT(block.step_rows(), ElementsAre(ElementsAre(1), ElementsAre(2), ElementsAre(14),
                                             ElementsAre(1), ElementsAre(1)));
}

TEST(WarmUp, TellsWhatTheModelFailsWith) {
  FakeModel model({});
  model.FailNextStep();
  EXPECT_FALSE(WarmUp(model).ok());
}

}  // namespace
}  // namespace sinkstream
