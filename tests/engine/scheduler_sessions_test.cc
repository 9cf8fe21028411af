// Sessions open, are refused, are taken over, go idle and close.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/errors.h"
#include "engine/scheduler.h"
#include "tests/engine/conversation.h"

namespace sinkstream {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

TEST(SchedulerTest, OpeningTellsTheSettingsInEffect) {
  Conversation talk;
  auto& alice = talk.OpenStream(With(3, 20));
  const auto& opened = alice.Read().opened.value();
  EXPECT_EQ(opened.id.size(), 32);
  EXPECT_EQ(opened.settings.sinks, 3);
  EXPECT_EQ(opened.settings.window, 20);
  EXPECT_EQ(opened.kv_bytes, (1 + 6) * 400);
}

TEST(SchedulerTest, BadSettingsAreRefusedByName) {
  Conversation talk;
  const auto refused = [&](OpenRequest request) {
    return talk.OpenStream(std::move(request)).Read().closed.value_or(absl::OkStatus());
  };
  EXPECT_EQ(ErrorField(refused(With(-1, 5))), "open.sinks");
  EXPECT_EQ(ErrorField(refused(With(0, 0))), "open.window");
  const auto beyond = refused(With(97, 4000));
  EXPECT_EQ(ErrorField(beyond), "open.window");
  EXPECT_THAT(std::string(beyond.message()), HasSubstr("4096"));
  EXPECT_EQ(ErrorField(refused(With(1, INT64_MAX))), "open.window");
  OpenRequest many;
  many.sinks = 4096;
  EXPECT_EQ(ErrorField(refused(many)), "open.sinks") << "the window is the server's";
  OpenRequest prompt = With(0, 4090);
  prompt.system_prompt = "be kind";
  EXPECT_EQ(ErrorField(refused(prompt)), "open.system_prompt");
  OpenRequest idle;
  idle.idle_timeout = -absl::Seconds(1);
  EXPECT_EQ(ErrorField(refused(idle)), "open.idle_timeout");
  idle.idle_timeout = absl::Hours(25);
  EXPECT_EQ(ErrorField(refused(idle)), "open.idle_timeout");
  OpenRequest sampling;
  sampling.sampling.min_p = 7;
  EXPECT_EQ(ErrorField(refused(sampling)), "open.sampling.min_p");
}

TEST(SchedulerTest, WhatCanNeverFitIsNotToldToTryAgain) {
  Conversation talk;  // 58 blocks of 4 tokens for sessions
  OpenRequest huge;
  huge.window = 300;
  const auto refused = talk.OpenStream(huge).Read().closed.value();
  EXPECT_EQ(ErrorRefusal(refused), Refusal::kKvMemory);
  EXPECT_FALSE(ErrorRetryAfter(refused).has_value());
  EXPECT_THAT(std::string(refused.message()), HasSubstr("ask for a smaller window"));
}

TEST(SchedulerTest, WhatDoesNotFitIsRefusedAtTheDoorAndFitsOnceOneHasClosed) {
  Conversation talk;  // 64 blocks, 6 of them for steps; a session of 4 + 12 tokens takes 5
  std::vector<Stream*> streams;
  for (int i = 0; i < 11; ++i) streams.push_back(&talk.OpenStream());
  for (auto* stream : streams) EXPECT_FALSE(stream->Read().closed);
  const auto refused = talk.OpenStream().Read().closed.value();
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ErrorRefusal(refused), Refusal::kKvMemory);
  EXPECT_GE(ErrorRetryAfter(refused).value(), absl::Seconds(1));
  EXPECT_THAT(talk.observer().rejected, ElementsAre(Refusal::kKvMemory));
  for (auto* stream : streams) stream->Feed(Numbers(60, 1), Greedy(30));
  talk.Run();  // every session full, all in every step: no block is wanting
  for (auto* stream : streams) EXPECT_THAT(stream->Read().turns, SizeIs(1));
  streams[3]->Close();
  EXPECT_TRUE(streams[3]->Read().closed->ok());
  EXPECT_FALSE(talk.OpenStream().Read().closed);
}

TEST(SchedulerTest, MaxSessionsIsALimitOfItsOwn) {
  auto options = SmallOptions();
  options.limits.max_sessions = 2;
  Conversation talk({}, options);
  talk.OpenStream();
  talk.OpenStream();
  EXPECT_EQ(ErrorRefusal(talk.OpenStream().Read().closed.value()), Refusal::kMaxSessions);
}

TEST(SchedulerTest, OnePrincipalsSessionsLeavePlaceForThoseOfOthers) {
  auto options = SmallOptions();
  options.limits.max_principal_sessions = 2;
  Conversation talk({}, options);
  OpenRequest alices, bobs, resumed;
  alices.principal = resumed.principal = "alice";
  bobs.principal = "bob";
  auto& first = talk.OpenStream(alices);
  resumed.id = talk.OpenStream(alices).id();
  const auto refused = talk.OpenStream(alices).Read().closed.value();
  EXPECT_EQ(ErrorRefusal(refused), Refusal::kMaxPrincipalSessions);
  EXPECT_TRUE(ErrorRetryAfter(refused).has_value());
  EXPECT_FALSE(talk.OpenStream(bobs).Read().closed);
  EXPECT_FALSE(talk.OpenStream(resumed).Read().closed) << "no session more";
  first.Close();
  EXPECT_FALSE(talk.OpenStream(alices).Read().closed);
}

TEST(SchedulerTest, APrincipalIsToldWhenOneOfItsOwnSessionsWillEnd) {
  auto options = SmallOptions();
  options.limits.max_principal_sessions = 1;
  options.limits.max_sessions = 2;
  Conversation talk({}, options);
  OpenRequest alices, bobs;
  alices.principal = "alice";
  alices.idle_timeout = absl::Seconds(20);
  bobs.principal = "bob";
  bobs.idle_timeout = absl::Seconds(5);
  talk.OpenStream(alices).Vanish();
  talk.OpenStream(bobs).Vanish();
  const auto refused = talk.OpenStream(alices).Read().closed.value();
  EXPECT_EQ(ErrorRefusal(refused), Refusal::kMaxPrincipalSessions) << "though all are taken too";
  EXPECT_EQ(ErrorRetryAfter(refused), absl::Seconds(20));
}

TEST(SchedulerTest, AnUnknownOrForeignIdIsNotFound) {
  Conversation talk;
  OpenRequest mine;
  mine.principal = "alice";
  const auto id = talk.OpenStream(mine).id();
  OpenRequest theirs;
  theirs.id = id;
  theirs.principal = "mallory";
  EXPECT_EQ(talk.OpenStream(theirs).Read().closed->code(), absl::StatusCode::kNotFound);
  theirs.id = std::string(32, '0');
  EXPECT_EQ(talk.OpenStream(theirs).Read().closed->code(), absl::StatusCode::kNotFound);
}

TEST(SchedulerTest, ASecondStreamTakesOverAndTheFirstIsToldAborted) {
  Conversation talk;
  auto& first = talk.OpenStream();
  first.Feed({'a'}, Greedy(40));
  talk.Run(5);
  OpenRequest again;
  again.id = first.id();
  auto& second = talk.OpenStream(again);
  EXPECT_EQ(first.Read().closed->code(), absl::StatusCode::kAborted);
  first.Feed({'b'});
  first.Close();
  EXPECT_EQ(talk.Run(), 0);  // what the first stream still asks is ignored
  second.Feed({'c'}, Greedy(2));
  talk.Run();
  EXPECT_THAT(second.Read().turns, SizeIs(1));
}

TEST(SchedulerTest, AStreamThatVanishesStopsItsWorkAtOnce) {
  for (const int steps : {0, 1, 8}) {  // before, in mid-prefill, in mid-decode
    Conversation talk;
    auto& alice = talk.OpenStream();
    alice.Feed(Numbers(40, 1), Greedy(100));
    talk.Run(steps);
    alice.Vanish();
    EXPECT_EQ(talk.Run(), 0);
    EXPECT_EQ(talk.scheduler().Stats().running_requests, 0);
  }
}

TEST(SchedulerTest, AnIdleSessionLivesForItsTimeoutAndThenGivesItsBlocksBack) {
  Conversation talk;
  OpenRequest request;
  request.idle_timeout = absl::Seconds(30);
  auto& alice = talk.OpenStream(request);
  alice.Feed(Numbers(40, 1), Greedy(1));
  talk.Run();
  EXPECT_EQ(talk.scheduler().Patience(), absl::InfiniteDuration());
  alice.Vanish();
  EXPECT_EQ(talk.scheduler().Patience(), absl::Seconds(30));
  talk.clock().Advance(absl::Seconds(29));
  talk.scheduler().CloseExpired();
  EXPECT_EQ(talk.scheduler().Stats().sessions, 1);
  talk.clock().Advance(absl::Seconds(1));
  talk.scheduler().CloseExpired();
  EXPECT_EQ(talk.scheduler().Stats().sessions, 0);
  EXPECT_EQ(talk.scheduler().Stats().blocks_used, 0);
  EXPECT_THAT(talk.observer().closed, ElementsAre(CloseReason::kIdle));
}

TEST(SchedulerTest, WithNoIdleTimeASessionClosesWithItsStream) {
  Conversation talk;
  OpenRequest request;
  request.idle_timeout = absl::ZeroDuration();
  auto& alice = talk.OpenStream(request);
  alice.Feed(Numbers(40, 1), Greedy(100));
  talk.Run(6);
  alice.Vanish();
  EXPECT_EQ(talk.scheduler().Stats().sessions, 0);
  EXPECT_EQ(talk.scheduler().Stats().blocks_used, 0);
}

TEST(SchedulerTest, AHalfClosedStreamGetsItsReplyAndThenEndsWell) {
  Conversation talk;
  auto& alice = talk.OpenStream();
  alice.Feed({'a'}, Greedy(5));
  talk.Run(2);
  alice.HalfClose();
  EXPECT_FALSE(alice.Read().closed);
  talk.Run();
  EXPECT_THAT(alice.Read().turns, SizeIs(1));
  EXPECT_TRUE(alice.Read().closed->ok());
  EXPECT_EQ(talk.scheduler().Stats().sessions, 1);
  EXPECT_EQ(talk.scheduler().Stats().attached_sessions, 0);
}

TEST(SchedulerTest, NewSessionsDoNotPassThoseThatWait) {
  EngineOptions options = SmallOptions();
  options.limits.max_prefills_per_step = 1;
  Conversation talk({}, options);
  auto& alice = talk.OpenStream();
  alice.Score(Numbers(3, 1));
  talk.Run();
  alice.Score(Numbers(3, 2), {}, 2);
  for (int i = 0; i < 3; ++i) {
    talk.OpenStream().Score(Numbers(3, 3 + i));
    talk.Run(1);
  }
  EXPECT_THAT(alice.Read().appends, SizeIs(2));
}

TEST(SchedulerTest, DrainingRefusesNewSessionsAndLetsRunningTurnsEnd) {
  Conversation talk;
  auto& alice = talk.OpenStream();
  alice.Feed({'a'}, Greedy(5));
  talk.scheduler().Handle(DrainCommand{});
  EXPECT_EQ(talk.OpenStream().Read().closed.value(), ShuttingDown());
  talk.Run();
  EXPECT_THAT(alice.Read().turns, SizeIs(1));
}

TEST(SchedulerTest, DrainingTellsEachStreamHowLongItHas) {
  Conversation talk;
  auto& alice = talk.OpenStream();
  auto& bob = talk.OpenStream();
  alice.Feed({'a'}, Greedy(5));
  talk.scheduler().Handle(DrainCommand{absl::Seconds(7)});
  for (auto* const stream : {&alice, &bob}) {
    ASSERT_THAT(stream->Read().farewells, SizeIs(1));
    EXPECT_EQ(stream->Read().farewells[0].time_left, absl::Seconds(7));
  }
}

TEST(SchedulerTest, DrainingTakesNoFurtherRequestAndCarriesOutWhatWaits) {
  Conversation talk;
  auto& alice = talk.OpenStream();
  alice.Append("read this, ", 1);
  alice.Say("then answer", Greedy(5), 2);
  talk.scheduler().Handle(DrainCommand{});
  auto& bob = talk.OpenStream();
  alice.Append("too late", 3);
  EXPECT_TRUE(bob.Read().closed.has_value());
  talk.Run();
  EXPECT_THAT(alice.Read().appends, SizeIs(1));
  EXPECT_THAT(alice.Read().turns, SizeIs(1));
  ASSERT_THAT(alice.Read().failures, SizeIs(1));
  EXPECT_EQ(alice.Read().failures[0].request_id, 3);
  EXPECT_EQ(alice.Read().failures[0].status, ShuttingDown());
  EXPECT_EQ(ErrorRetryAfter(ShuttingDown()), kShutdownRetry);
}

TEST(SchedulerTest, ShutdownTellsEveryStreamAndFreesEverything) {
  Conversation talk;
  auto& alice = talk.OpenStream();
  alice.Feed(Numbers(40, 1));
  talk.Run(1);
  talk.scheduler().Shutdown(absl::UnavailableError("the server is shutting down"));
  EXPECT_EQ(alice.Read().closed->code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(talk.scheduler().Stats().blocks_used, 0);
}

}  // namespace
}  // namespace sinkstream
