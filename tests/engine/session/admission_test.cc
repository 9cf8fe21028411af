// Streams that wait for their session, and what they ask for meanwhile.
#include "engine/session/admission.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/errors.h"
#include "tests/engine/session/parked_conversation.h"

namespace sinkstream {
namespace {

using testing::SizeIs;

class AdmissionTest : public ParkingTest {};

TEST_F(AdmissionTest, WhatAStreamAsksForWhileItWaitsIsDoneInOrderThen) {
  Left(30, 1);
  Talked(30, 2);
  auto& carol = talk_.OpenStream();
  carol.Append("one ", 1);
  carol.Feed({'?'}, Greedy(1), 2);
  carol.HalfClose();
  talk_.EndParking();
  talk_.Run();
  const auto& heard = carol.Read();
  ASSERT_THAT(heard.appends, SizeIs(1));
  ASSERT_THAT(heard.turns, SizeIs(1));
  EXPECT_EQ(heard.turns[0].usage.prompt_tokens, 2);  // the blank that was held back, and ?
  EXPECT_TRUE(heard.closed.has_value());
}

TEST_F(AdmissionTest, ThoseBehindOneThatWaitsKeepTheirOrder) {
  const auto alice = Left(30, 1);
  Left(30, 2);
  Talked(30, 3);  // alice is parked
  auto& back = Return(alice);
  auto& later = Return(alice);
  talk_.EndAllParking();
  EXPECT_EQ(back.Read().closed->code(), absl::StatusCode::kAborted);
  EXPECT_TRUE(later.Read().opened.has_value());
}

TEST_F(AdmissionTest, AStreamThatAsksForTooMuchWhileItWaitsIsRefused) {
  Left(30, 1);
  Talked(30, 2);
  auto& carol = talk_.OpenStream();
  for (int i = 0; i < 40; ++i) carol.Append("text and text ");
  EXPECT_EQ(ErrorRefusal(*carol.Read().closed), Refusal::kQueueFull);
  talk_.EndAllParking();
  EXPECT_EQ(talk_.scheduler().Stats().attached_sessions, 1);
}

TEST_F(AdmissionTest, ACancelAndACloseAreTakenHoweverMuchWaits) {
  const auto alice = Left(30, 1);
  Left(30, 2);
  Talked(30, 3);  // alice is parked
  auto& back = Return(alice);
  for (size_t i = 0; i < InboxLimits().owner_commands; ++i) back.Append("text ");
  for (int i = 0; i < 100; ++i) back.Cancel();
  back.Close();
  back.Append("asked of a session that is closed by then");
  talk_.EndAllParking();
  EXPECT_EQ(back.Read().closed, absl::OkStatus());
  EXPECT_EQ(Return(alice).Read().closed->code(), absl::StatusCode::kNotFound);
}

TEST_F(AdmissionTest, AHalfCloseIsTakenHoweverMuchWaits) {
  Left(30, 1);
  Talked(30, 2);
  auto& carol = talk_.OpenStream();
  for (size_t i = 0; i < InboxLimits().owner_commands; ++i) carol.Append("text ");
  carol.HalfClose();
  talk_.EndAllParking();
  talk_.Run();
  EXPECT_EQ(carol.Read().closed, absl::OkStatus());
}

TEST_F(AdmissionTest, ACloseCountsEvenIfItsSessionCannotComeBack) {
  const auto alice = Left(30, 1);
  Left(30, 2);
  Talked(30, 3);  // alice is parked
  auto& back = Return(alice);
  back.Close();
  talk_.EndParking(absl::ResourceExhaustedError("disk full"));
  EXPECT_EQ(ErrorRefusal(*back.Read().closed), Refusal::kKvMemory);
  EXPECT_EQ(Return(alice).Read().closed->code(), absl::StatusCode::kNotFound);
}

TEST_F(AdmissionTest, WhatItAsksForMeanwhileIsBoundedInBytesToo) {
  Left(30, 1);
  Talked(30, 2);
  auto& carol = talk_.OpenStream();
  auto& dave = talk_.OpenStream();
  const auto most = InboxLimits().bytes / sizeof(TokenId);
  carol.Score(std::vector<TokenId>(most, 'a'));
  dave.Score({'a'});
  EXPECT_FALSE(carol.Read().closed);
  EXPECT_EQ(ErrorRefusal(*dave.Read().closed), Refusal::kQueueFull);
  carol.Vanish();
  auto& erin = talk_.OpenStream();
  erin.Score({'a'});
  EXPECT_FALSE(erin.Read().closed);
  talk_.EndAllParking();
}

TEST_F(AdmissionTest, StreamsThatWaitAreBoundedInBytesToo) {
  Left(30, 1);
  Talked(30, 2);
  auto& carol = talk_.OpenStream();
  OpenRequest request;
  request.sampling.stop_strings.assign(16, std::string(InboxLimits().bytes / 16, 'x'));
  auto& dave = talk_.OpenStream(request);
  EXPECT_FALSE(dave.Read().closed) << "one alone may have more";
  request.sampling.stop_strings = {"stop"};
  auto& erin = talk_.OpenStream(request);
  EXPECT_EQ(ErrorRefusal(*erin.Read().closed), Refusal::kQueueFull);
  dave.Vanish();
  auto& frank = talk_.OpenStream(request);
  EXPECT_FALSE(frank.Read().closed);
  talk_.EndAllParking();
  EXPECT_TRUE(carol.Read().opened.has_value());
}

TEST_F(AdmissionTest, ADrainSendsAwayThoseWhoWait) {
  Left(30, 1);
  Talked(30, 2);
  auto& carol = talk_.OpenStream();
  talk_.scheduler().Handle(DrainCommand{});
  EXPECT_EQ(carol.Read().closed->code(), absl::StatusCode::kUnavailable);
  talk_.EndAllParking();
}

TEST_F(AdmissionTest, ACloseCountsEvenIfTheStreamGoesBeforeItsSessionIsBack) {
  const auto alice = Left(30, 1);
  Talked(30, 2);
  Talked(30, 3).Close();
  auto& back = Return(alice);
  back.Close();
  back.Vanish();
  talk_.EndAllParking();
  talk_.scheduler().CloseExpired();
  EXPECT_EQ(Return(alice).Read().closed->code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(talk_.observer().closed.back(), CloseReason::kClient);
  EXPECT_EQ(talk_.park().Tickets(), 0);
}

}  // namespace
}  // namespace sinkstream
