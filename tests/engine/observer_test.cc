// What the engine tells its observer.
#include "engine/observer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "tests/engine/conversation.h"

namespace sinkstream {
namespace {

template <typename Number>
int64_t SumOf(const CountingObserver& observer, Number StepStats::* figure) {
  int64_t sum = 0;
  for (const StepStats& step : observer.steps) sum += static_cast<int64_t>(step.*figure);
  return sum;
}

TEST(EngineObserver, HearsOfEachTokenOnce) {
  Conversation world(Says("hello"), SmallOptions());
  Stream& stream = world.OpenStream();
  stream.Say("hi");
  world.Run();
  stream.Say("and again");
  world.Run();
  Usage told;
  for (const TurnDone& turn : stream.Read().turns) {
    told.prompt_tokens += turn.usage.prompt_tokens;
    told.generated_tokens += turn.usage.generated_tokens;
    told.evicted_tokens += turn.usage.evicted_tokens;
  }
  const CountingObserver& observer = world.observer();
  EXPECT_GT(told.evicted_tokens, 0);
  EXPECT_EQ(SumOf(observer, &StepStats::prefill_rows), told.prompt_tokens);
  EXPECT_EQ(SumOf(observer, &StepStats::sampled_tokens), told.generated_tokens);
  EXPECT_EQ(SumOf(observer, &StepStats::evicted_tokens), told.evicted_tokens);
}

// Several tokens a step, guesses among them, and a pinned prompt that is shared.
TEST(EngineObserver, HearsOfEachBlockThatAWindowMovedPast) {
  Conversation world({}, SmallOptions());
  OpenRequest with_prompt;
  with_prompt.system_prompt = "be kind";
  for (int i = 0; i < 2; ++i) {
    Stream& stream = world.OpenStream(with_prompt);
    stream.Append("a long text that is read in several chunks");
    stream.Say("hi", Greedy(50));
  }
  world.Run();
  EXPECT_GT(SumOf(world.observer(), &StepStats::freed_blocks), 20);
  EXPECT_EQ(SumOf(world.observer(), &StepStats::freed_blocks),
            SumOf(world.observer(), &StepStats::evicted_blocks));
}

TEST(EngineObserver, HearsOfScoredTokens) {
  Conversation world({}, WideOptions());
  Stream& stream = world.OpenStream();
  stream.Score(Numbers(30, 1));
  world.Run();
  size_t scored = 0;
  for (const Scores& scores : stream.Read().scores) scored += scores.logprobs.size();
  EXPECT_GT(scored, 0u);
  EXPECT_EQ(SumOf(world.observer(), &StepStats::scored_tokens), static_cast<int64_t>(scored));
}

TEST(EngineObserver, HearsHowEachRequestEnded) {
  Conversation world({}, WideOptions());
  Stream& stream = world.OpenStream();
  stream.Append("some text");
  stream.Say("hi", Greedy(3));
  world.Run();
  stream.Say("hi", Greedy(50));
  world.Run(3);
  stream.Cancel();
  stream.Append("never read");
  stream.Cancel();
  world.model().FailNextStep();
  stream.Say("hi");
  world.Run();
  const auto& ends = world.observer().ends;
  ASSERT_EQ(ends.size(), 5u);
  EXPECT_FALSE(ends[0].replies);
  EXPECT_TRUE(ends[0].status.ok());
  EXPECT_EQ(ends[1].reason, FinishReason::kLength);
  EXPECT_EQ(ends[1].usage.generated_tokens, 3);
  EXPECT_EQ(ends[2].reason, FinishReason::kCancelled);
  EXPECT_TRUE(absl::IsCancelled(ends[3].status));
  EXPECT_FALSE(ends[4].reason.has_value());
  EXPECT_TRUE(absl::IsInternal(ends[4].status));
  EXPECT_TRUE(world.observer().steps.back().failed);
}

TEST(EngineObserver, HearsNoEndOfARequestThatWasNotTakenUp) {
  Conversation world({}, WideOptions());
  Stream& stream = world.OpenStream();
  SamplingOverrides bad = Greedy();
  bad.temperature = -1;
  stream.Say("hi", bad);
  EXPECT_EQ(stream.Read().failures.size(), 1u);
  EXPECT_TRUE(world.observer().ends.empty());
}

TEST(EngineObserver, HearsTheTimesThatTheClientIsTold) {
  Conversation world({}, WideOptions());
  world.clock().AdvanceAtEachReading(absl::Milliseconds(1));
  Stream& stream = world.OpenStream();
  stream.Append("some text");
  stream.Say("hi", Greedy(3));
  world.Run();
  const auto& ends = world.observer().ends;
  ASSERT_EQ(ends.size(), 2u);
  EXPECT_EQ(ends[0].timings.total, stream.Read().appends.at(0).timings.total);
  EXPECT_EQ(ends[1].timings.total, stream.Read().turns.at(0).timings.total);
  EXPECT_GT(ends[1].timings.total, absl::ZeroDuration());
}

TEST(EngineObserver, ATurnThatIsCancelledWhileItWaitsHasWaitedAllItsLife) {
  Conversation world({}, WideOptions());
  Stream& stream = world.OpenStream();
  stream.Append("some text");
  stream.Say("hi");
  world.clock().Advance(absl::Seconds(3));
  stream.Cancel();
  const auto& ends = world.observer().ends;
  ASSERT_EQ(ends.size(), 2u);
  EXPECT_EQ(ends[1].timings.total, absl::Seconds(3));
  EXPECT_EQ(ends[1].timings.queue, absl::Seconds(3));
}

TEST(EngineObserver, ATurnThatIsCancelledWhileItReadsHasReadUntilThen) {
  Conversation world({}, WideOptions());
  Stream& stream = world.OpenStream();
  stream.Feed(Numbers(500, 1), Greedy(1));
  world.Run(1);
  world.clock().Advance(absl::Seconds(3));
  stream.Cancel();
  const auto& ends = world.observer().ends;
  ASSERT_EQ(ends.size(), 1u);
  EXPECT_EQ(ends[0].timings.queue, absl::ZeroDuration());
  EXPECT_EQ(ends[0].timings.prefill, absl::Seconds(3));
}

TEST(EngineObserver, ATurnWhoseFirstStepFailsHasWaitedUntilThatStep) {
  Conversation world({}, WideOptions());
  Stream& stream = world.OpenStream();
  world.model().FailNextStep();
  stream.Say("hi");
  world.clock().Advance(absl::Seconds(3));
  world.Run();
  const auto& ends = world.observer().ends;
  ASSERT_EQ(ends.size(), 1u);
  EXPECT_EQ(ends[0].timings.queue, absl::Seconds(3));
}

TEST(EngineObserver, HearsOfEachStreamThatIsRefused) {
  EngineOptions options = WideOptions();
  options.limits.max_sessions = 1;
  Conversation world({}, options);
  world.OpenStream();
  world.OpenStream();
  world.scheduler().Handle(DrainCommand{absl::Seconds(5)});
  world.OpenStream();
  EXPECT_EQ(world.observer().rejected,
            (std::vector{Refusal::kMaxSessions, Refusal::kShuttingDown}));
}

TEST(EngineObserver, HearsOfRowsThatAreNoNumbers) {
  Conversation world({}, WideOptions());
  Stream& stream = world.OpenStream();
  world.model().GiveNaNNextStep();
  stream.Say("hi");
  world.Run();
  EXPECT_EQ(SumOf(world.observer(), &StepStats::nonfinite_rows), 1);
  EXPECT_EQ(SumOf(world.observer(), &StepStats::sampled_tokens), 0);
}

TEST(EngineObserver, HearsTheTraceOfTheStreamThatAsked) {
  Conversation world({}, WideOptions());
  OpenRequest first;
  first.trace = TraceContext{"trace", "span", true};
  Stream& stream = world.OpenStream(first);
  stream.Say("hi", Greedy(2));
  world.Run();
  OpenRequest again;
  again.id = stream.id();
  world.OpenStream(again).Say("hi", Greedy(2));
  world.Run();
  const auto& ends = world.observer().ends;
  ASSERT_EQ(ends.size(), 2u);
  ASSERT_TRUE(ends[0].trace.has_value());
  EXPECT_EQ(ends[0].trace->trace_id, "trace");
  EXPECT_FALSE(ends[1].trace.has_value());
}

TEST(EngineObserver, HearsOfPromptsThatAreShared) {
  Conversation world({}, SmallOptions());
  OpenRequest with_prompt;
  with_prompt.system_prompt = "be kind";
  Stream& first = world.OpenStream(with_prompt);
  first.Say("hi", Greedy(2));
  world.Run();
  world.OpenStream(with_prompt);
  world.OpenStream();
  const CountingObserver& observer = world.observer();
  EXPECT_EQ(observer.opened, 3);
  EXPECT_EQ(observer.prefixes, 2);
  const auto pinned = FakeChatFormat().EncodeBegin(FakeTokenizer(), "be kind").size();
  EXPECT_EQ(observer.shared_tokens, static_cast<int64_t>(pinned));
}

TEST(EngineObserver, AFirstTokenSaysWhenItsTurnArrived) {
  Conversation world({}, WideOptions());
  const auto asked = world.clock().Now();
  auto shared = std::make_shared<Outbox>(100, [] {});
  OpenCommand open;
  open.attachment = 77;
  open.outbox = shared;
  world.scheduler().Handle(std::move(open));
  RequestCommand turn{77, 1, true, {}, Greedy(3)};
  turn.input.user_turn = FakeChatFormat().EncodeUserTurn(FakeTokenizer(), "hi");
  turn.arrived = asked;
  world.clock().Advance(absl::Seconds(2));  // in the inbox
  world.scheduler().Handle(std::move(turn));
  world.Run();
  std::vector<std::optional<absl::Time>> arrivals;
  Timings timings;
  for (const Event& event : shared->TakeAll().events) {
    if (const auto* const delta = std::get_if<Delta>(&event)) arrivals.push_back(delta->arrived);
    if (const auto* const done = std::get_if<TurnDone>(&event)) timings = done->timings;
  }
  ASSERT_EQ(arrivals.size(), 3u);
  EXPECT_EQ(arrivals[0], asked);
  EXPECT_FALSE(arrivals[1].has_value() || arrivals[2].has_value());
  EXPECT_EQ(timings.queue, absl::Seconds(2));
}

TEST(EngineObserver, HearsWhatSessionsHold) {
  Conversation world({}, WideOptions());
  Stream& stream = world.OpenStream();
  stream.Say("hi", Greedy(5));
  world.Run();
  const PoolStats pool = world.scheduler().Stats();
  const int64_t position = 4 + pool.recent_blocks * 4;  // blocks of 4 tokens, 4 sinks
  EXPECT_EQ(pool.blocks_used, pool.recent_blocks + 1);
  EXPECT_GT(pool.kv_tokens, position - 4);
  EXPECT_LE(pool.kv_tokens, position);
  EXPECT_EQ(pool.kv_bytes_reserved, pool.blocks_reserved * pool.block_bytes);
  EXPECT_GE(pool.blocks_reserved, pool.blocks_used);
}

}  // namespace
}  // namespace sinkstream
