#include "engine/scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/errors.h"
#include "tests/engine/conversation.h"

namespace sinkstream {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

// ---- a reply ----

TEST(SchedulerTest, ATurnIsAnswered) {
  Conversation talk(Says("hello"), WideOptions());
  auto& alice = talk.OpenStream();
  alice.Say("hi", Greedy(), 7);
  talk.Run();
  const auto& heard = alice.Read();
  EXPECT_EQ(heard.text, "hello");
  EXPECT_EQ(Spell(heard.tokens), "hello[E]");
  ASSERT_THAT(heard.turns, SizeIs(1));
  EXPECT_EQ(heard.turns[0].request_id, 7);
  EXPECT_EQ(heard.turns[0].reason, FinishReason::kEndOfTurn);
  EXPECT_EQ(heard.turns[0].usage.prompt_tokens, 10);  // [B][S]u:hi[E][S]a:
  EXPECT_EQ(heard.turns[0].usage.generated_tokens, 6);
}

// The second turn's prompt closes the first reply: its last token and the format's suffix are in
// the cache.
TEST(SchedulerTest, TheEndOfAReplyIsReadWithTheNextTurn) {
  std::string seen;
  Conversation talk(SaysAndShows("ok", seen), WideOptions());
  auto& alice = talk.OpenStream();
  alice.Say("one");
  talk.Run();
  EXPECT_EQ(seen, "[B][S]u:one[E][S]a:ok");
  alice.Say("two");
  talk.Run(1);
  EXPECT_EQ(seen, "[B][S]u:one[E][S]a:ok[E]\n[S]u:two[E][S]a:");
}

TEST(SchedulerTest, AReplyCutByLengthIsClosedInTheCacheToo) {
  std::string seen;
  Conversation talk(SaysAndShows("abcdef", seen), WideOptions());
  auto& alice = talk.OpenStream();
  alice.Say("one", Greedy(3));
  talk.Run();
  EXPECT_EQ(alice.Read().text, "abc");
  EXPECT_EQ(alice.Read().turns.back().reason, FinishReason::kLength);
  alice.Say("two");
  talk.Run(1);
  EXPECT_EQ(seen, "[B][S]u:one[E][S]a:abc[E]\n[S]u:two[E][S]a:");
}

TEST(SchedulerTest, AStopStringEndsTheReplyAndNoPartOfItIsSent) {
  Conversation talk(Says("one two STOP three"), WideOptions());
  auto& alice = talk.OpenStream();
  auto sampling = Greedy();
  sampling.stop_strings = {"STOP"};
  alice.Say("hi", sampling);
  talk.Run();
  EXPECT_EQ(alice.Read().text, "one two ");
  EXPECT_EQ(alice.Read().turns[0].reason, FinishReason::kStopString);
  EXPECT_EQ(alice.Read().turns[0].stop_string, "STOP");
}

TEST(SchedulerTest, AStopTokenEndsTheReply) {
  Conversation talk(Says("abc"));
  auto& alice = talk.OpenStream();
  auto sampling = Greedy();
  sampling.stop_tokens = {'b'};
  alice.Say("hi", sampling);
  talk.Run();
  EXPECT_EQ(alice.Read().text, "a");
  EXPECT_EQ(alice.Read().turns[0].reason, FinishReason::kStopToken);
}

TEST(SchedulerTest, TheSeedUsedIsToldAndGivesTheSameReplyAgain) {
  // So hot that what is said depends on the seed.
  FakeModel::Options model;
  model.next = [](const std::vector<TokenId>&) { return 'x'; };
  Conversation talk(std::move(model));
  SamplingOverrides hot;
  hot.temperature = 10;
  hot.top_p = 1;
  hot.ignore_end_of_turn = true;
  hot.max_tokens = 20;
  auto& alice = talk.OpenStream();
  alice.Say("hi", hot);
  talk.Run();
  const auto first = alice.Read().tokens;
  hot.seed = alice.Read().turns[0].seed;
  auto& bob = talk.OpenStream();
  auto& carol = talk.OpenStream();
  bob.Say("hi", hot);
  carol.Say("something else", hot);
  talk.Run();
  EXPECT_EQ(bob.Read().tokens, first);
}

TEST(SchedulerTest, LogprobsComeOneForEachTokenWhereAskedFor) {
  Conversation talk(Says("abc"));
  auto& alice = talk.OpenStream();
  auto sampling = Greedy();
  sampling.top_logprobs = 2;
  alice.Say("hi", sampling);
  talk.Run();
  EXPECT_EQ(alice.Read().logprobs.size(), alice.Read().tokens.size());
  EXPECT_THAT(alice.Read().logprobs[0].top, SizeIs(2));
}

// ---- the window, told ----

TEST(SchedulerTest, EvictionIsToldWhenItBeginsAndAtTheEnd) {
  Conversation talk;
  auto& alice = talk.OpenStream(With(4, 12));
  alice.Feed(Numbers(14, 1), Greedy(1));
  talk.Run();
  EXPECT_THAT(alice.Read().windows, IsEmpty());
  alice.Feed(Numbers(30, 1), Greedy(1));
  talk.Run();
  const auto& windows = alice.Read().windows;
  ASSERT_THAT(windows, SizeIs(2));
  EXPECT_EQ(windows.back().position, 14 + 1 + 30);
  EXPECT_EQ(windows.back().evicted, 45 - 12 + 1 - 4);
  EXPECT_EQ(windows.back().first_recent, 4 + 30);
  EXPECT_EQ(alice.Read().turns.back().usage.evicted_tokens, 30);
}

TEST(SchedulerTest, ASystemPromptIsPinnedWhole) {
  std::string seen;
  FakeModel::Options model;
  model.next = [&](const std::vector<TokenId>& visible) {
    seen = Spell(visible);
    return 'x';
  };
  Conversation talk(std::move(model));
  OpenRequest request;
  request.system_prompt = "be kind";
  auto& alice = talk.OpenStream(request);
  EXPECT_EQ(alice.Read().opened->settings.sinks, 12);  // [B][S]s:be kind[E]
  alice.Feed(Numbers(60, 1), Greedy(20));
  talk.Run();
  EXPECT_THAT(seen, testing::StartsWith("[B][S]s:be kind[E]"));
}

TEST(SchedulerTest, ALongPromptReportsItsProgress) {
  Conversation talk;
  auto& alice = talk.OpenStream();
  alice.Feed(Numbers(40, 1), Greedy(1));
  talk.Run();
  std::vector<int64_t> done;
  for (const auto& progress : alice.Read().progress) {
    EXPECT_EQ(progress.total, 40);
    done.push_back(progress.done);
  }
  EXPECT_THAT(done, ElementsAre(16, 32, 40));
}

// ---- fairness ----

TEST(SchedulerTest, ALongPromptDelaysADecodeByOneChunkAtMost) {
  Conversation talk;
  auto& alice = talk.OpenStream();
  alice.Feed({'a'}, Greedy(100));
  talk.Run(3);
  auto& bob = talk.OpenStream();
  bob.Feed(Numbers(80, 1), Greedy(1));
  for (int step = 0; step < 10; ++step) {
    const auto before = alice.Read().tokens.size();
    talk.Run(1);
    EXPECT_EQ(alice.Read().tokens.size(), before + 1);
    EXPECT_THAT(talk.model().step_rows().back(), ElementsAre(1, 8));
  }
}

TEST(SchedulerTest, AFullOutboxPausesItsOwnSessionAlone) {
  Conversation talk;
  auto& slow = talk.OpenStream({}, 4);
  auto& quick = talk.OpenStream();
  slow.Feed({'a'}, Greedy(20));
  quick.Feed({'b'}, Greedy(20));
  talk.Run();
  EXPECT_THAT(quick.Read().turns, SizeIs(1));
  EXPECT_EQ(talk.observer().pauses, 1);
  EXPECT_EQ(talk.scheduler().Stats().running_requests, 1);
  while (slow.Read().turns.empty()) talk.Run();
  EXPECT_EQ(slow.Read().tokens, ReplyByDefinition({'a'}, 4, 12, 20));
}

// ---- requests that queue, fail, end early ----

TEST(SchedulerTest, AppendsQueueUpAndATurnMayQueueBehindThem) {
  Conversation talk;
  auto& alice = talk.OpenStream(With(0, 100));
  alice.Append("one two ", 1);
  alice.Append("three four", 2);
  alice.Feed({'!'}, Greedy(1), 3);
  talk.Run();
  EXPECT_THAT(alice.Read().appends, SizeIs(2));
  EXPECT_EQ(alice.Read().turns.at(0).request_id, 3);
  const std::string text = "one two three four!";
  EXPECT_EQ(alice.Read().tokens, ReplyByDefinition({text.begin(), text.end()}, 0, 100, 1));
}

TEST(SchedulerTest, ATurnWhileOneRunsIsRefusedAndTheRunningOneNeverNotices) {
  Conversation talk;
  auto& alice = talk.OpenStream();
  alice.Feed({'a'}, Greedy(10), 1);
  talk.Run(3);
  alice.Feed({'b'}, Greedy(10), 2);
  alice.Append("text", 3);
  talk.Run();
  ASSERT_THAT(alice.Read().failures, SizeIs(2));
  EXPECT_EQ(alice.Read().failures[0].request_id, 2);
  EXPECT_EQ(alice.Read().failures[0].status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(alice.Read().failures[1].status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(alice.Read().tokens, ReplyByDefinition({'a'}, 4, 12, 10));
}

TEST(SchedulerTest, TooManyQueuedRequestsAreRefused) {
  Conversation talk;
  auto& alice = talk.OpenStream();
  for (uint64_t id = 1; id <= 10; ++id) alice.Append("word and word ", id);
  ASSERT_THAT(alice.Read().failures, SizeIs(1));  // one runs, eight wait
  EXPECT_EQ(ErrorRefusal(alice.Read().failures[0].status), Refusal::kQueueFull);
  talk.Run();
  EXPECT_THAT(alice.Read().appends, SizeIs(9));
}

TEST(SchedulerTest, ARequestOfTooManyTokensIsRefusedByTheNameOfItsField) {
  auto options = WideOptions();
  options.limits.max_request_tokens = 100;
  Conversation talk({}, options);
  auto& alice = talk.OpenStream();
  alice.Append(std::string(200, '.') + "x y");
  alice.Feed(Numbers(101, 1));
  alice.Say(std::string(100, '.'));
  const auto& failures = alice.Read().failures;
  ASSERT_THAT(failures, SizeIs(3));
  EXPECT_EQ(ErrorField(failures[0].status), "append.text");
  EXPECT_THAT(std::string(failures[0].status.message()), HasSubstr("203 tokens long; at most 100"));
  EXPECT_EQ(ErrorField(failures[1].status), "turn.token_ids");
  EXPECT_EQ(ErrorField(failures[2].status), "turn.text");
}

TEST(SchedulerTest, ATurnWithoutTokensFailsAsATurn) {
  Conversation talk;
  auto& alice = talk.OpenStream();
  alice.Feed({}, Greedy(), 5);
  ASSERT_THAT(alice.Read().failures, SizeIs(1));
  EXPECT_EQ(alice.Read().failures[0].request_id, 5);
  EXPECT_EQ(alice.Read().failures[0].status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(alice.Read().appends, IsEmpty());
}

TEST(SchedulerTest, BadSamplingFailsTheTurnAndTheSessionGoesOn) {
  Conversation talk(Says("ok"));
  auto& alice = talk.OpenStream();
  auto bad = Greedy();
  bad.top_p = 2;
  alice.Say("hi", bad, 1);
  ASSERT_THAT(alice.Read().failures, SizeIs(1));
  EXPECT_EQ(ErrorField(alice.Read().failures[0].status), "turn.sampling.top_p");
  alice.Say("hi", Greedy(), 2);
  talk.Run();
  EXPECT_EQ(alice.Read().text, "ok");
}

TEST(SchedulerTest, CancelEndsTheReplyAndTheNextTurnGoesOnFromThere) {
  std::string seen;
  Conversation talk(SaysAndShows("abcdefgh", seen), WideOptions());
  auto& alice = talk.OpenStream();
  alice.Say("hi");
  talk.Run(3);
  alice.Cancel();
  EXPECT_EQ(alice.Read().turns.at(0).reason, FinishReason::kCancelled);
  EXPECT_EQ(talk.Run(), 0);
  alice.Say("go");
  talk.Run(1);
  EXPECT_EQ(seen, "[B][S]u:hi[E][S]a:abc[E]\n[S]u:go[E][S]a:");
}

TEST(SchedulerTest, CancelInMidPromptClosesTheHalfReadTurnAndLosesNothingOwed) {
  std::string seen;
  Conversation talk(SaysAndShows("ok", seen), WideOptions());
  auto& alice = talk.OpenStream();
  alice.Say("hi");
  talk.Run();
  alice.Say("a very long question indeed");
  talk.Run(1);
  alice.Cancel();
  alice.Say("go");
  talk.Run(1);
  EXPECT_EQ(seen, "[B][S]u:hi[E][S]a:ok[E]\n[S]u:a very long[E]\n[S]u:go[E][S]a:");
}

TEST(SchedulerTest, CancelSendsTheTextThatWasHeldBack) {
  Conversation talk(Says("one STAR"), WideOptions());
  auto& alice = talk.OpenStream();
  auto sampling = Greedy();
  sampling.stop_strings = {"STOP"};
  alice.Say("hi", sampling);
  talk.Run(6);
  EXPECT_EQ(alice.Read().text, "one ");
  EXPECT_EQ(Spell(alice.Read().tokens), "one ST");
  alice.Cancel();
  EXPECT_EQ(alice.Read().text, "one ST");
}

TEST(SchedulerTest, ACancelledAppendLeavesNothingOfItselfToBeRead) {
  std::string seen;
  Conversation talk(SaysAndShows("", seen), WideOptions());
  auto& alice = talk.OpenStream(With(0, 200));
  alice.Append("HEAD " + std::string(60, 'm') + " TAIL");
  alice.Cancel();
  alice.Feed({'?'}, Greedy(1));
  talk.Run();
  EXPECT_EQ(seen, "?");
  alice.Append("HEAD " + std::string(60, 'm') + " TAIL");
  talk.Run(1);
  alice.Cancel();
  alice.Feed({'!'}, Greedy(1));
  talk.Run();
  EXPECT_THAT(seen, testing::EndsWith("m!"));
}

TEST(SchedulerTest, TextThatWasAcknowledgedSurvivesACancelledTurn) {
  std::string seen;
  Conversation talk(SaysAndShows("", seen), WideOptions());
  auto& alice = talk.OpenStream(With(0, 200));
  alice.Append("secret");
  EXPECT_THAT(alice.Read().appends, SizeIs(1));
  alice.Say("raw");
  alice.Cancel();
  alice.Feed({'?'}, Greedy(1));
  talk.Run();
  EXPECT_EQ(seen, "secret?");
}

TEST(SchedulerTest, CancelDropsWhatWaits) {
  Conversation talk;
  auto& alice = talk.OpenStream();
  alice.Append(std::string(100, 'x') + " y", 1);
  alice.Append("more text ", 2);
  alice.Feed({'?'}, Greedy(), 3);
  talk.Run(1);
  alice.Cancel();
  EXPECT_THAT(alice.Read().failures, SizeIs(2));
  EXPECT_THAT(alice.Read().turns, SizeIs(1));
  EXPECT_EQ(talk.Run(), 0);
}

TEST(SchedulerTest, LogitsThatAreNoNumbersFailTheTurnAndNoTokenIsReadTwice) {
  std::string seen;
  Conversation talk(SaysAndShows("abcdef", seen), WideOptions());
  auto& alice = talk.OpenStream();
  alice.Say("hi");
  talk.Run(3);
  talk.model().GiveNaNNextStep();
  talk.Run();
  ASSERT_THAT(alice.Read().failures, SizeIs(1));
  EXPECT_EQ(alice.Read().failures[0].status.code(), absl::StatusCode::kInternal);
  EXPECT_EQ(alice.Read().text, "abc");
  alice.Say("go");
  talk.Run(1);
  EXPECT_EQ(seen, "[B][S]u:hi[E][S]a:abc[E]\n[S]u:go[E][S]a:");
}

TEST(SchedulerTest, TimeInTheQueueEndsWithTheFirstPlaceInAStep) {
  Conversation talk;
  for (int i = 0; i < 3; ++i) talk.OpenStream().Feed(Numbers(16, i), Greedy(1));
  auto& last = talk.OpenStream();
  last.Feed(Numbers(4, 9), Greedy(1));
  talk.Run(1);  // two prompts a step: the last one waits
  talk.clock().Advance(absl::Seconds(2));
  talk.Run();
  EXPECT_EQ(last.Read().turns.at(0).timings.queue, absl::Seconds(2));
  EXPECT_EQ(last.Read().turns.at(0).timings.prefill, absl::ZeroDuration());
}

TEST(SchedulerTest, AFailedStepFailsTheRequestsInItAndNoBlockIsLost) {
  Conversation talk;
  auto& alice = talk.OpenStream();
  auto& bob = talk.OpenStream();
  const int32_t used = talk.scheduler().Stats().blocks_used;
  alice.Feed(Numbers(30, 1), Greedy(5), 1);
  bob.Feed(Numbers(30, 2), Greedy(5), 1);
  talk.model().FailNextStep();
  talk.Run();
  EXPECT_THAT(alice.Read().failures, SizeIs(1));
  EXPECT_EQ(bob.Read().failures.at(0).status.code(), absl::StatusCode::kInternal);
  EXPECT_EQ(talk.scheduler().Stats().blocks_used, used);
  alice.Feed(Numbers(30, 1), Greedy(5), 2);
  talk.Run();
  EXPECT_EQ(alice.Read().tokens, ReplyByDefinition(Numbers(30, 1), 4, 12, 5));
}

}  // namespace
}  // namespace sinkstream
