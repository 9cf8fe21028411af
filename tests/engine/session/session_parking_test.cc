// Idle sessions give up their memory to those that come, and get it back.
#include "engine/session/session_parking.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/errors.h"
#include "tests/engine/session/parked_conversation.h"
#include "tests/engine/told_scores.h"

namespace sinkstream {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

TEST_F(ParkingTest, AnIdleSessionMakesRoomForANewOne) {
  Left(30, 1);
  Talked(30, 2);
  auto& carol = talk_.OpenStream();
  EXPECT_FALSE(carol.Read().opened.has_value()) << "until the other one is saved";
  talk_.EndParking();
  EXPECT_TRUE(carol.Read().opened.has_value());
  EXPECT_EQ(Parked(), 1);
  const auto stats = talk_.scheduler().Stats();
  EXPECT_EQ(stats.sessions, 3);
  EXPECT_LE(stats.kv_bytes_reserved, stats.blocks_total * 400);
}

TEST_F(ParkingTest, AParkedSessionComesBackByItselfBitForBit) {
  const auto alice = Left(30, 1), bob = Left(50, 2), carol = Left(7, 3), dora = Left(16, 4);
  EXPECT_EQ(Parked(), 2);
  for (const auto& [id, count, salt] :
       {std::tuple{alice, 30, 1}, {bob, 50, 2}, {carol, 7, 3}, {dora, 16, 4}}) {
    auto& back = Return(id);
    talk_.EndAllParking();
    ASSERT_TRUE(back.Read().opened.has_value());
    EXPECT_TRUE(back.Read().opened->resumed);
    EXPECT_EQ(back.Read().opened->position, count);
    back.Feed({'?'}, Greedy(25));
    talk_.Run();
    EXPECT_EQ(back.Read().tokens, NextReply(count, salt, 25));
    EXPECT_THAT(back.Read().failures, IsEmpty());
    back.Vanish();
  }
}

TEST_F(ParkingTest, TheOneWithoutAStreamForLongestGoesFirst) {
  const auto alice = Left(30, 1), bob = Left(30, 2);
  Talked(5, 3);
  auto& back = Return(bob);
  EXPECT_TRUE(back.Read().opened.has_value()) << "still in memory";
  EXPECT_EQ(Parked(), 1);
}

TEST_F(ParkingTest, WhoComesBackWhileBeingSavedFindsEverythingInMemory) {
  const auto alice = Left(30, 1);
  Talked(30, 2);
  auto& carol = talk_.OpenStream();
  carol.Vanish();  // she had alice's session saved, and does not wait
  auto& back = Return(alice);
  EXPECT_FALSE(back.Read().opened.has_value());
  talk_.EndParking();
  EXPECT_TRUE(back.Read().opened.has_value());
  EXPECT_EQ(talk_.park().Tickets(), 0);
  back.Feed({'?'}, Greedy(25));
  talk_.Run();
  EXPECT_EQ(back.Read().tokens, NextReply(30, 1, 25));
}

TEST_F(ParkingTest, WithoutAnIdleSessionTheNewOneIsRefused) {
  Talked(30, 1);
  Talked(30, 2);
  auto& carol = talk_.OpenStream();
  ASSERT_TRUE(carol.Read().closed.has_value());
  EXPECT_EQ(ErrorRefusal(*carol.Read().closed), Refusal::kKvMemory);
  EXPECT_TRUE(ErrorRetryAfter(*carol.Read().closed).has_value());
  EXPECT_FALSE(talk_.park().Works());
}

TEST_F(ParkingTest, ASessionThatCannotComeBackYetStaysParked) {
  const auto alice = Left(30, 1);
  auto& bob = Talked(30, 2);
  Talked(30, 3);
  EXPECT_EQ(ErrorRefusal(*Return(alice).Read().closed), Refusal::kKvMemory);
  bob.Close();
  auto& back = Return(alice);
  talk_.EndAllParking();
  back.Feed({'?'}, Greedy(5));
  talk_.Run();
  EXPECT_EQ(back.Read().tokens, NextReply(30, 1, 5));
}

TEST_F(ParkingTest, AStreamThatGoesWhileItWaitsLeavesTheSessionInOrder) {
  const auto alice = Left(30, 1);
  auto& bob = Talked(30, 2);
  Talked(30, 3).Close();
  Return(alice).Vanish();  // while she is read back
  talk_.EndAllParking();
  auto& back = Return(alice);
  EXPECT_TRUE(back.Read().opened.has_value());
  back.Feed({'?'}, Greedy(5));
  bob.Feed({'?'}, Greedy(5));
  talk_.Run();
  EXPECT_EQ(back.Read().tokens, NextReply(30, 1, 5));
  EXPECT_EQ(LastTokens(bob.Read(), 5), NextReply(30, 2, 5));
}

TEST_F(ParkingTest, AParkedSessionExpiresLikeAnyOther) {
  const auto alice = Left(30, 1);
  Talked(30, 2);
  Talked(30, 3);
  EXPECT_EQ(Parked(), 1);
  talk_.clock().Advance(absl::Minutes(10));
  talk_.scheduler().CloseExpired();
  EXPECT_EQ(Parked(), 0);
  EXPECT_EQ(talk_.park().Tickets(), 0);
  EXPECT_EQ(Return(alice).Read().closed->code(), absl::StatusCode::kNotFound);
}

TEST_F(ParkingTest, NoneExpiresOnItsWay) {
  const auto alice = Left(30, 1);
  Talked(30, 2);
  talk_.OpenStream();
  talk_.clock().Advance(absl::Minutes(10));
  talk_.scheduler().CloseExpired();
  EXPECT_GT(talk_.scheduler().Patience(), absl::Hours(1)) << "nothing is due before it has ended";
  talk_.EndAllParking();
  talk_.scheduler().CloseExpired();
  EXPECT_EQ(talk_.scheduler().Stats().sessions, 2);
}

TEST_F(ParkingTest, ASessionDoesNotExpireWhileItsStreamWaits) {
  const auto alice = Left(30, 1), bob = Left(30, 2);
  Talked(30, 3);               // alice is parked
  talk_.OpenStream();          // bob is being saved for her, she waits
  auto& back = Return(alice);  // and alice behind her
  talk_.clock().Advance(absl::Minutes(20));
  talk_.scheduler().CloseExpired();
  talk_.EndAllParking();
  EXPECT_NE(back.Read().closed.value_or(absl::OkStatus()).code(), absl::StatusCode::kNotFound);
}

TEST_F(ParkingTest, ASessionThatItsClientComesBackForIsNotParkedForANewcomer) {
  const auto alice = Left(30, 1), bob = Left(30, 2);
  Talked(30, 3).Close();
  auto& alices = Return(alice);  // is read back
  auto& carol = talk_.OpenStream();
  auto& bobs = Return(bob);
  talk_.EndAllParking();
  EXPECT_TRUE(alices.Read().opened.has_value());
  EXPECT_EQ(ErrorRefusal(*carol.Read().closed), Refusal::kKvMemory);
  EXPECT_TRUE(bobs.Read().opened.has_value());
}

TEST_F(ParkingTest, ASessionReadBackForNobodyMakesRoomAgain) {
  const auto alice = Left(30, 1);
  Talked(30, 2);
  Talked(30, 3).Close();
  Return(alice).Vanish();
  auto& carol = talk_.OpenStream();
  EXPECT_FALSE(carol.Read().closed.has_value()) << "alice's session is idle as soon as it is here";
  talk_.EndAllParking();
  EXPECT_TRUE(carol.Read().opened.has_value());
}

// ---- scores ----

TEST_F(ParkingTest, AppendsAreScoredAsOneTextThoughTheSessionIsParkedBetweenThem) {
  auto& alice = talk_.OpenStream();
  const SessionId id = alice.id();
  alice.Append("a text that is longer than its window, and its end is held", 1, ScoringParams{});
  talk_.Run();
  const Told before = Scored(alice);
  alice.Vanish();
  Talked(30, 2);
  Talked(30, 3).Close();
  EXPECT_EQ(Parked(), 1);
  auto& back = Return(id);
  talk_.EndAllParking();
  back.Append("back and then goes on", 1, ScoringParams{});
  back.Score({'.'});
  talk_.Run();
  const std::string text =
      "a text that is longer than its window, and its end is heldback and then goes on.";
  const Told whole = WholeScored({text.begin(), text.end()});
  const auto first = static_cast<int64_t>(before.positions.size()) + 1;
  EXPECT_EQ(Scored(back), From(first, whole));
  EXPECT_THAT(before.positions, testing::ElementsAreArray(Positions(1, first - 1)));
}

// As a Score call does: a session for it alone, one append, and no more.
class WaitingScoreTest : public ParkingTest {
 protected:
  Stream& WaitingScore() {
    Left(30, 1);
    Talked(30, 2);
    OpenRequest request;
    request.idle_timeout = absl::ZeroDuration();
    auto& score = talk_.OpenStream(request);
    score.Score(Numbers(30, 3));
    score.HalfClose();
    EXPECT_FALSE(score.Read().opened.has_value()) << "until the idle session is saved";
    return score;
  }
  // Nothing of it is left: the idle session and the one with a stream.
  void ExpectNothingLeft() {
    talk_.EndAllParking();
    EXPECT_EQ(talk_.Run(), 0);
    EXPECT_EQ(talk_.scheduler().Stats().sessions, 2);
    EXPECT_EQ(talk_.scheduler().Stats().attached_sessions, 1);
    EXPECT_EQ(talk_.scheduler().Stats().running_requests, 0);
  }
};

TEST_F(WaitingScoreTest, IsScoredOnceThereIsRoom) {
  auto& score = WaitingScore();
  talk_.EndAllParking();
  talk_.Run();
  EXPECT_EQ(Scored(score), WholeScored(Numbers(30, 3)));
  EXPECT_EQ(score.Read().closed, absl::OkStatus());
  ExpectNothingLeft();
}

TEST_F(WaitingScoreTest, ThatGoesLeavesNothing) {
  WaitingScore().Vanish();
  ExpectNothingLeft();
  EXPECT_TRUE(talk_.OpenStream().Read().opened.has_value());
}

TEST_F(WaitingScoreTest, IsSentAwayByADrain) {
  auto& score = WaitingScore();
  talk_.scheduler().Handle(DrainCommand{});
  EXPECT_EQ(score.Read().closed->code(), absl::StatusCode::kUnavailable);
  ExpectNothingLeft();
  EXPECT_THAT(score.Read().scores, IsEmpty());
}

// ---- disks fail ----

TEST_F(ParkingTest, AFailedSaveCostsTheNewOneItsPlaceAndNobodyElseAnything) {
  const auto alice = Left(30, 1);
  Talked(30, 2);
  auto& carol = talk_.OpenStream();
  talk_.EndParking(absl::ResourceExhaustedError("disk full"));
  EXPECT_EQ(ErrorRefusal(*carol.Read().closed), Refusal::kKvMemory);
  EXPECT_THAT(talk_.observer().park_failures, SizeIs(1));
  EXPECT_EQ(talk_.park().Tickets(), 0);
  talk_.OpenStream();
  EXPECT_FALSE(talk_.park().Works()) << "not tried again at once";
  talk_.clock().Advance(absl::Seconds(30));
  auto& dora = talk_.OpenStream();
  talk_.EndAllParking();
  EXPECT_TRUE(dora.Read().opened.has_value());
  dora.Close();
  auto& back = Return(alice);
  talk_.EndAllParking();
  back.Feed({'?'}, Greedy(5));
  talk_.Run();
  EXPECT_EQ(back.Read().tokens, NextReply(30, 1, 5));
}

TEST_F(ParkingTest, ASessionThatCannotBeReadBackIsToldAsLost) {
  const auto alice = Left(30, 1);
  Talked(30, 2);
  Talked(30, 3).Close();
  auto& back = Return(alice);
  talk_.EndParking(absl::DataLossError("bad sector"));
  EXPECT_EQ(back.Read().closed->code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(talk_.observer().closed, ElementsAre(CloseReason::kClient, CloseReason::kLost));
  EXPECT_EQ(Return(alice).Read().closed->code(), absl::StatusCode::kNotFound);
  talk_.scheduler().Shutdown(absl::UnavailableError("done"));
  EXPECT_EQ(talk_.scheduler().Stats().blocks_used, 0);
  EXPECT_EQ(talk_.scheduler().Stats().kv_bytes_reserved, 0);
}

TEST_F(ParkingTest, OneThatNeedsTheRoomOfTwoIsRefusedWhereTheParkTakesOneMore) {
  Left(30, 1);
  Left(30, 2);
  OpenRequest wide;
  wide.window = 22;  // 8 blocks
  talk_.park().KeepToTickets(1);
  const auto refused = talk_.OpenStream(wide).Read().closed;
  ASSERT_TRUE(refused.has_value());
  EXPECT_EQ(ErrorRefusal(*refused), Refusal::kKvMemory);
  talk_.park().KeepToTickets(2);
  auto& carol = talk_.OpenStream(wide);
  talk_.EndAllParking();
  EXPECT_TRUE(carol.Read().opened.has_value());
}

class SmallParkTest : public ParkingTest {
 protected:
  SmallParkTest() : ParkingTest(5) {}  // one session's
};

class OneTicketTest : public ParkingTest {
 protected:
  OneTicketTest() { talk_.park().KeepToTickets(1); }
};

TEST_F(SmallParkTest, WhatTheParkHasNoRoomForIsRefused) {
  Left(30, 1);
  Left(30, 2);
  Talked(30, 3);
  EXPECT_EQ(ErrorRefusal(*talk_.OpenStream().Read().closed), Refusal::kKvMemory);
}

TEST_F(SmallParkTest, AFullParkStillLetsAParkedAndAnIdleSessionChangePlaces) { TwoChangePlaces(); }

TEST_F(OneTicketTest, AParkOfNoMoreFilesStillLetsAParkedAndAnIdleSessionChangePlaces) {
  TwoChangePlaces();
}

// ---- shared prompts ----

TEST(SharedPrefixParkingTest, ASharedPromptStaysInMemoryForThoseThatAreParked) {
  Conversation talk({.num_blocks = 30}, SmallOptions(), 100);
  OpenRequest prompted;
  prompted.system_prompt = "a rather long prompt";  // 25 tokens, 7 blocks, and 4 of the window
  std::vector<SessionId> ids;
  std::vector<std::vector<TokenId>> replies;
  for (int i = 0; i < 6; ++i) {
    auto& stream = talk.OpenStream(prompted);
    talk.EndAllParking();
    stream.Say("hi", Greedy(30));
    talk.Run();
    ids.push_back(stream.id());
    replies.push_back(stream.Read().tokens);
    stream.Vanish();
    talk.clock().Advance(absl::Seconds(1));
  }
  EXPECT_GT(talk.scheduler().Stats().parked_sessions, 0);
  EXPECT_THAT(replies, testing::Each(replies[0]));
  std::vector<std::vector<TokenId>> next;
  for (const auto& id : ids) {
    OpenRequest again;
    again.id = id;
    auto& back = talk.OpenStream(again);
    talk.EndAllParking();
    back.Say("and?", Greedy(30));
    talk.Run();
    next.push_back(back.Read().tokens);
    EXPECT_THAT(back.Read().failures, IsEmpty());
    back.Vanish();
  }
  EXPECT_THAT(next, testing::Each(next[0]));
  talk.scheduler().Shutdown(absl::UnavailableError("done"));
  EXPECT_EQ(talk.scheduler().Stats().blocks_used, 0);
  EXPECT_EQ(talk.scheduler().Stats().kv_bytes_reserved, 0);
}

}  // namespace
}  // namespace sinkstream
