// Steps that only decode take no memory from the heap, but in the model. Its own program: it
// replaces operator new.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <utility>

#include "tests/engine/conversation.h"
#include "tests/fakes/counted_heap.h"

namespace sinkstream {
namespace {

// Whose own memory does not count.
class UncountedModel final : public FakeModel {
 public:
  using FakeModel::FakeModel;
  absl::StatusOr<StepLogits> Step(const StepBatch& batch) override {
    const bool before = std::exchange(counted_heap.counting, false);
    auto logits = FakeModel::Step(batch);
    counted_heap.counting = before;
    return logits;
  }
};

class StepAllocationTest : public testing::Test {
 protected:
  static constexpr int kWarmUp = 150, kSteps = 60;

  explicit StepAllocationTest(NextToken next = Rambling)
      : model_({.num_blocks = 600, .next = std::move(next)}),
        scheduler_(Options(),
                   {model_, tokenizer_, format_, observer_, clock_, [this] { return ++random_; }}) {
  }

  static EngineOptions Options() {
    EngineOptions options = SmallOptions();
    options.limits.step_tokens = 64;
    options.limits.outbox_capacity = 100;
    return options;
  }

  void Begin(int sessions, const SamplingOverrides& sampling) {
    for (int i = 1; i <= sessions; ++i) {
      streams_.push_back(std::make_unique<Stream>(scheduler_, format_, i, 100));
      streams_.back()->Open();
      streams_.back()->Feed(Numbers(10, i), sampling);
    }
    for (int i = 0; i < kWarmUp; ++i) Step();
  }

  // As the engine thread does, while readers keep up.
  void Step() {
    counted_heap.counting = true;
    scheduler_.CloseExpired();
    EXPECT_TRUE(scheduler_.RunStep());
    scheduler_.ReportPool();
    counted_heap.counting = false;
    for (const auto& stream : streams_) stream->Read();
  }

  int64_t AllocationsOfSteps() {
    counted_heap.allocations = 0;
    for (int i = 0; i < kSteps; ++i) Step();
    return counted_heap.allocations;
  }

  FakeTokenizer tokenizer_;
  const ChatFormat format_ = FakeChatFormat();
  UncountedModel model_;
  EngineObserver observer_;
  FakeClock clock_;
  uint64_t random_ = 0;
  Scheduler scheduler_;
  std::vector<std::unique_ptr<Stream>> streams_;
};

TEST_F(StepAllocationTest, TheCounterCounts) {
  counted_heap.counting = true;
  const auto number = std::make_unique<int>(1);
  counted_heap.counting = false;
  EXPECT_GE(counted_heap.allocations, *number);
}

TEST_F(StepAllocationTest, GreedyStepsWithGuessesTakeNoMemory) {
  Begin(1, Greedy(10000));
  EXPECT_EQ(AllocationsOfSteps(), 0);
}

TEST_F(StepAllocationTest, SampledStepsOfManySessionsTakeNoMemory) {
  SamplingOverrides sampling = Greedy(10000);
  sampling.temperature = 0.8;
  sampling.top_k = 40;
  sampling.repetition_penalty = 1.1;
  sampling.ignore_end_of_turn = true;
  sampling.stop_strings = {"never", "at all"};
  Begin(32, sampling);
  EXPECT_EQ(AllocationsOfSteps(), 0);
}

}  // namespace
}  // namespace sinkstream
