#include "engine/scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/errors.h"
#include "tests/engine/conversation.h"

namespace sinkstream {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

FakeModel::Options Says(const std::string& words) { return {.next = Saying(words)}; }

OpenRequest With(std::optional<int32_t> sinks, std::optional<int64_t> window) {
  OpenRequest request;
  request.sinks = sinks;
  request.window = window;
  return request;
}

// ---- a reply ----

TEST(SchedulerTest, ATurnIsAnswered) {
  Conversation talk(Says("hello"), [] {
    auto options = Conversation::SmallOptions();
    options.defaults.window = 100;
    return options;
  }());
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
  FakeModel::Options model;
  model.next = [&](const std::vector<TokenId>& visible) {
    seen = Spell(visible);
    return Saying("ok")(visible);
  };
  auto options = Conversation::SmallOptions();
  options.defaults.window = 200;
  Conversation talk(std::move(model), options);
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
  FakeModel::Options model;
  model.next = [&](const std::vector<TokenId>& visible) {
    seen = Spell(visible);
    return Saying("abcdef")(visible);
  };
  auto options = Conversation::SmallOptions();
  options.defaults.window = 200;
  Conversation talk(std::move(model), options);
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
  Conversation talk(Says("one two STOP three"), [] {
    auto options = Conversation::SmallOptions();
    options.defaults.window = 100;
    return options;
  }());
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
  // Flat logits: what is said depends on the seed alone.
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

// ---- purity: what a session says depends on its own tokens alone ----

std::vector<TokenId> Numbers(int count, int salt) {
  std::vector<TokenId> tokens;
  for (int i = 0; i < count; ++i) tokens.push_back((i * 7 + salt) % 90 + 32);
  return tokens;
}

// The reply that the definition gives: no cache, no blocks, the set of visible tokens written out
// for each token.
std::vector<TokenId> ReplyByDefinition(std::vector<TokenId> text, int32_t sinks, int64_t window,
                                       int count) {
  std::vector<TokenId> reply;
  for (int i = 0; i < count; ++i) {
    const auto n = static_cast<int64_t>(text.size()) - 1;
    std::vector<TokenId> visible;
    for (int64_t p = 0; p <= n; ++p) {
      if (p < sinks || p > n - window) visible.push_back(text[p]);
    }
    reply.push_back(HashOfVisible(visible));
    text.push_back(reply.back());
  }
  return reply;
}

class PurityTest : public testing::TestWithParam<std::tuple<int, int>> {
 protected:
  const int32_t sinks_ = std::get<0>(GetParam());
  const int64_t window_ = std::get<1>(GetParam());
};

TEST_P(PurityTest, ALongPromptAndALongReplyMatchTheDefinition) {
  Conversation talk;
  auto& alice = talk.OpenStream(With(sinks_, window_));
  alice.Feed(Numbers(90, 1), Greedy(80));
  talk.Run();
  EXPECT_EQ(alice.Read().tokens, ReplyByDefinition(Numbers(90, 1), sinks_, window_, 80));
  EXPECT_THAT(alice.Read().failures, IsEmpty());
}

TEST_P(PurityTest, NeighboursThatJoinAndLeaveChangeNothing) {
  Conversation talk;
  auto& alice = talk.OpenStream(With(sinks_, window_));
  auto& bob = talk.OpenStream(With(2, 9));
  bob.Feed(Numbers(33, 5), Greedy(20));
  talk.Run(2);
  alice.Feed(Numbers(90, 1), Greedy(80));
  talk.Run(10);
  auto& carol = talk.OpenStream(With(0, 3));
  carol.Feed(Numbers(50, 9), Greedy(10));
  talk.Run(12);
  bob.Vanish();
  talk.Run();
  EXPECT_EQ(alice.Read().tokens, ReplyByDefinition(Numbers(90, 1), sinks_, window_, 80));
  EXPECT_EQ(carol.Read().tokens, ReplyByDefinition(Numbers(50, 9), 0, 3, 10));
}

TEST_P(PurityTest, AnySplitOfATextIntoAppendsChangesNothing) {
  std::string text;
  for (const TokenId token : Numbers(60, 3)) text += static_cast<char>(token);
  text += " ab cd ef gh";
  std::vector<TokenId> ids(text.begin(), text.end());
  for (const size_t piece : {1, 3, 7, 50}) {
    Conversation talk;
    auto& alice = talk.OpenStream(With(sinks_, window_));
    for (size_t at = 0; at < text.size(); at += piece) {
      alice.Append(text.substr(at, piece));
      talk.Run();
    }
    alice.Feed({'?'}, Greedy(30));
    talk.Run();
    auto whole = ids;
    whole.push_back('?');
    EXPECT_EQ(alice.Read().tokens, ReplyByDefinition(whole, sinks_, window_, 30));
  }
}

TEST_P(PurityTest, ParkingAndReattachingChangeNothing) {
  Conversation talk;
  auto& alice = talk.OpenStream(With(sinks_, window_));
  const auto id = alice.id();
  alice.Feed(Numbers(40, 1), Greedy(1));
  talk.Run();
  const auto first = alice.Read().tokens;
  alice.Vanish();
  auto& bob = talk.OpenStream();
  bob.Feed(Numbers(70, 2), Greedy(5));
  talk.Run();
  OpenRequest again;
  again.id = id;
  auto& back = talk.OpenStream(again);
  EXPECT_TRUE(back.Read().opened->resumed);
  EXPECT_EQ(back.Read().opened->position, 40);
  back.Feed(Numbers(10, 4), Greedy(20));
  talk.Run();
  auto whole = Numbers(40, 1);
  whole.push_back(first[0]);
  const auto more = Numbers(10, 4);
  whole.insert(whole.end(), more.begin(), more.end());
  EXPECT_EQ(back.Read().tokens, ReplyByDefinition(whole, sinks_, window_, 20));
}

INSTANTIATE_TEST_SUITE_P(SinksWindow, PurityTest,
                         testing::Combine(testing::Values(0, 1, 4, 8),
                                          testing::Values(1, 5, 12, 64)));

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

// ---- a system prompt that several sessions share ----

OpenRequest Prompted(const std::string& principal, const std::string& prompt) {
  OpenRequest request;
  request.principal = principal;
  request.system_prompt = prompt;
  return request;
}

TEST(SharedPrefixTest, TheSecondSessionStandsBehindThePromptAtOnceAndSaysTheSame) {
  Conversation talk;
  auto& first = talk.OpenStream(Prompted("alice", "a rather long prompt"));
  first.Say("hi", Greedy(30));
  talk.Run();
  auto& second = talk.OpenStream(Prompted("alice", "a rather long prompt"));
  EXPECT_EQ(second.Read().opened->position, 25);  // [B][S]s:a rather long prompt[E]
  second.Say("hi", Greedy(30));
  talk.Run();
  EXPECT_EQ(second.Read().tokens, first.Read().tokens);
  EXPECT_EQ(second.Read().turns[0].usage.prompt_tokens,
            first.Read().turns[0].usage.prompt_tokens - 25);
  EXPECT_EQ(second.Read().opened->kv_bytes, first.Read().opened->kv_bytes - 7 * 400);
}

TEST(SharedPrefixTest, ItsBlocksStayUntilTheLastSessionHasGoneAndNoneIsLost) {
  Conversation talk;
  auto& first = talk.OpenStream(Prompted("alice", "a rather long prompt"));
  first.Say("hi", Greedy(1));
  talk.Run();
  auto& second = talk.OpenStream(Prompted("alice", "a rather long prompt"));
  auto& third = talk.OpenStream(Prompted("alice", "a rather long prompt"));
  second.Say("hi", Greedy(30));
  talk.Run();
  first.Close();
  third.Say("hi", Greedy(30));
  talk.Run();
  EXPECT_EQ(third.Read().tokens, second.Read().tokens);
  EXPECT_THAT(third.Read().failures, IsEmpty());
  second.Close();
  third.Close();
  EXPECT_EQ(talk.scheduler().Stats().blocks_used, 0);
  EXPECT_EQ(talk.scheduler().Stats().kv_bytes_reserved, 0);
}

TEST(SharedPrefixTest, SessionsThatReadItAtTheSameTimeEndUpWithOneCopy) {
  Conversation talk;
  auto& first = talk.OpenStream(Prompted("alice", "a rather long prompt"));
  auto& second = talk.OpenStream(Prompted("alice", "a rather long prompt"));
  const auto reserved = talk.scheduler().Stats().kv_bytes_reserved;
  first.Say("hi", Greedy(10));
  second.Say("hi", Greedy(10));
  talk.Run();
  EXPECT_EQ(first.Read().tokens, second.Read().tokens);
  EXPECT_EQ(talk.scheduler().Stats().kv_bytes_reserved, reserved - 7 * 400);
  first.Close();
  second.Close();
  EXPECT_EQ(talk.scheduler().Stats().blocks_used, 0);
  EXPECT_EQ(talk.scheduler().Stats().kv_bytes_reserved, 0);
}

TEST(SharedPrefixTest, IsNeverSharedBetweenPrincipalsNorBeforeItHasBeenRead) {
  Conversation talk;
  auto& first = talk.OpenStream(Prompted("alice", "a rather long prompt"));
  EXPECT_EQ(talk.OpenStream(Prompted("alice", "a rather long prompt")).Read().opened->position, 0);
  first.Say("hi", Greedy(1));
  talk.Run();
  EXPECT_EQ(talk.OpenStream(Prompted("mallory", "a rather long prompt")).Read().opened->position,
            0);
  EXPECT_EQ(talk.OpenStream(Prompted("alice", "a rather long prompT")).Read().opened->position, 0);
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
  EXPECT_EQ(talk.observer().pool.running_requests, 1);
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
  ASSERT_THAT(alice.Read().failures, SizeIs(2));
  EXPECT_EQ(ErrorReason(alice.Read().failures[0].status), "QUEUE_FULL");
  talk.Run();
  EXPECT_THAT(alice.Read().appends, SizeIs(8));
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
  FakeModel::Options model;
  model.next = [&](const std::vector<TokenId>& visible) {
    seen = Spell(visible);
    return Saying("abcdefgh")(visible);
  };
  auto options = Conversation::SmallOptions();
  options.defaults.window = 200;
  Conversation talk(std::move(model), options);
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
  FakeModel::Options model;
  model.next = [&](const std::vector<TokenId>& visible) {
    seen = Spell(visible);
    return Saying("ok")(visible);
  };
  auto options = Conversation::SmallOptions();
  options.defaults.window = 200;
  Conversation talk(std::move(model), options);
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

TEST(SchedulerTest, AFailedStepFailsTheRequestsInItAndNoBlockIsLost) {
  Conversation talk;
  auto& alice = talk.OpenStream();
  auto& bob = talk.OpenStream();
  const int32_t used = talk.observer().pool.blocks_used;
  alice.Feed(Numbers(30, 1), Greedy(5), 1);
  bob.Feed(Numbers(30, 2), Greedy(5), 1);
  talk.model().FailNextStep();
  talk.Run();
  EXPECT_THAT(alice.Read().failures, SizeIs(1));
  EXPECT_EQ(bob.Read().failures.at(0).status.code(), absl::StatusCode::kInternal);
  EXPECT_EQ(talk.observer().pool.blocks_used, used);
  alice.Feed(Numbers(30, 1), Greedy(5), 2);
  talk.Run();
  EXPECT_EQ(alice.Read().tokens, ReplyByDefinition(Numbers(30, 1), 4, 12, 5));
}

// ---- sessions come and go ----

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

TEST(SchedulerTest, WhatDoesNotFitIsRefusedAtTheDoorAndFitsOnceOneHasClosed) {
  Conversation talk;  // 64 blocks, 6 of them for steps; a session of 4 + 12 tokens takes 5
  std::vector<Stream*> streams;
  for (int i = 0; i < 11; ++i) streams.push_back(&talk.OpenStream());
  for (auto* stream : streams) EXPECT_FALSE(stream->Read().closed);
  const auto refused = talk.OpenStream().Read().closed.value();
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ErrorReason(refused), "KV_MEMORY");
  EXPECT_GE(ErrorRetryAfter(refused).value(), absl::Seconds(1));
  EXPECT_THAT(talk.observer().rejected, ElementsAre("KV_MEMORY"));
  for (auto* stream : streams) stream->Feed(Numbers(60, 1), Greedy(30));
  talk.Run();  // every session full, all in every step: no block is wanting
  for (auto* stream : streams) EXPECT_THAT(stream->Read().turns, SizeIs(1));
  streams[3]->Close();
  EXPECT_TRUE(streams[3]->Read().closed->ok());
  EXPECT_FALSE(talk.OpenStream().Read().closed);
}

TEST(SchedulerTest, MaxSessionsIsALimitOfItsOwn) {
  auto options = Conversation::SmallOptions();
  options.limits.max_sessions = 2;
  Conversation talk({}, options);
  talk.OpenStream();
  talk.OpenStream();
  EXPECT_EQ(ErrorReason(talk.OpenStream().Read().closed.value()), "MAX_SESSIONS");
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
    EXPECT_EQ(talk.observer().pool.running_requests, 0);
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

TEST(SchedulerTest, DrainingRefusesNewSessionsAndLetsRunningTurnsEnd) {
  Conversation talk;
  auto& alice = talk.OpenStream();
  alice.Feed({'a'}, Greedy(5));
  talk.scheduler().Handle(DrainCommand{});
  EXPECT_EQ(talk.OpenStream().Read().closed->code(), absl::StatusCode::kUnavailable);
  talk.Run();
  EXPECT_THAT(alice.Read().turns, SizeIs(1));
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
