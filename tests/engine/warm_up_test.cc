#include "engine/warm_up.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/fakes/fake_model.h"

namespace sinkstream {
namespace {

using testing::ElementsAre;

TEST(WarmUp, RunsAPromptAndTwoTokens) {
  FakeModel model({.block_tokens = 16});
  EXPECT_TRUE(WarmUp(model).ok());
  EXPECT_THAT(model.step_rows(), ElementsAre(ElementsAre(14), ElementsAre(1), ElementsAre(1)));
}

TEST(WarmUp, FitsIntoTheSmallestBlock) {
  FakeModel model({.block_tokens = 1});
  EXPECT_TRUE(WarmUp(model).ok());
}

TEST(WarmUp, TellsWhatTheModelFailsWith) {
  FakeModel model({});
  model.FailNextStep();
  EXPECT_FALSE(WarmUp(model).ok());
}

}  // namespace
}  // namespace sinkstream
