#include "client/loadgen/conversation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sinkstream::loadgen {
namespace {

using testing::ElementsAre;

absl::Time At(double milliseconds) { return absl::UnixEpoch() + absl::Milliseconds(milliseconds); }

// "connect, open": what steps ask for, in short.
std::string Say(const v1::ConverseRequest& request) {
  switch (request.event_case()) {
    case v1::ConverseRequest::kOpen:
      return "open " + request.open().session_id();
    case v1::ConverseRequest::kTurn:
      return "turn of " + std::to_string(request.turn().token_ids().ids_size());
    case v1::ConverseRequest::kAppend:
      return "append of " + std::to_string(request.append().token_ids().ids_size());
    case v1::ConverseRequest::kCancel:
      return "cancel";
    case v1::ConverseRequest::kClose:
      return "close";
    default:
      return "?";
  }
}

std::vector<std::string> Say(const Steps& steps) {
  std::vector<std::string> said;
  for (const Step& step : steps) {
    if (const Send* send = std::get_if<Send>(&step)) said.push_back(Say(send->request));
    if (std::holds_alternative<Connect>(step)) said.emplace_back("connect");
    if (std::holds_alternative<HalfClose>(step)) said.emplace_back("half-close");
    if (std::holds_alternative<Drop>(step)) said.emplace_back("drop");
    if (const Wake* wake = std::get_if<Wake>(&step)) {
      said.push_back("wake at " +
                     std::to_string(absl::ToInt64Milliseconds(wake->at - absl::UnixEpoch())));
    }
  }
  return said;
}

class ConversationTest : public testing::Test {
 protected:
  ConversationTest() {
    traffic_.text = {10, 11, 12, 13, 14};
    traffic_.append_tokens = 4;
    traffic_.workload.turns = 2;
    traffic_.workload.warmup_turns = 1;
    traffic_.workload.prompt_tokens = Constant(3);
    traffic_.workload.reply_tokens = Constant(4);
    measurement_.Open(At(0));
  }

  Conversation Make(bool gate = false) { return Conversation(traffic_, measurement_, 0, gate); }

  static v1::ConverseResponse Opened() {
    v1::ConverseResponse response;
    response.mutable_opened()->set_session_id("abc");
    return response;
  }
  static v1::ConverseResponse Delta(uint64_t request_id, int tokens = 1) {
    v1::ConverseResponse response;
    response.mutable_delta()->set_request_id(request_id);
    for (int i = 0; i < tokens; ++i) response.mutable_delta()->add_token_ids(7);
    return response;
  }
  static v1::ConverseResponse TurnDone(uint64_t request_id,
                                       v1::FinishReason reason = v1::FINISH_REASON_LENGTH) {
    v1::ConverseResponse response;
    response.mutable_turn_done()->set_request_id(request_id);
    response.mutable_turn_done()->set_finish_reason(reason);
    return response;
  }
  static v1::ConverseResponse Failed(uint64_t request_id, absl::StatusCode code) {
    v1::ConverseResponse response;
    response.mutable_failed()->set_request_id(request_id);
    response.mutable_failed()->mutable_status()->set_code(static_cast<int>(code));
    return response;
  }

  Traffic traffic_;
  Measurement measurement_{Objective()};
};

TEST_F(ConversationTest, HasItsTurnsOneAfterTheOtherAndCloses) {
  Conversation talk = Make();
  EXPECT_THAT(Say(talk.Begin(At(0))), ElementsAre("connect", "open "));
  EXPECT_THAT(Say(talk.OnResponse(Opened(), At(5))), ElementsAre("turn of 3"));
  EXPECT_THAT(Say(talk.OnResponse(Delta(1), At(25))), ElementsAre());
  EXPECT_THAT(Say(talk.OnResponse(Delta(1, 3), At(55))), ElementsAre());
  EXPECT_THAT(Say(talk.OnResponse(TurnDone(1), At(60))), ElementsAre("turn of 3"));
  EXPECT_THAT(Say(talk.OnResponse(TurnDone(2), At(90))), ElementsAre("close", "half-close"));
  EXPECT_TRUE(talk.Over());
  EXPECT_THAT(Say(talk.OnStreamEnd(absl::OkStatus())), ElementsAre());
  EXPECT_EQ(talk.error(), absl::OkStatus());

  EXPECT_EQ(measurement_.errors(), 0);
  EXPECT_EQ(measurement_.finished_turns(), 2);
  EXPECT_EQ(measurement_.tokens(), 4);
  EXPECT_NEAR(measurement_.ttft().Max(), 20, 0.1);
  EXPECT_EQ(measurement_.itl().count(), 3);
  EXPECT_NEAR(measurement_.itl().Max(), 10, 0.1);
  EXPECT_NEAR(measurement_.turn().Max(), 55, 0.5);
}

TEST_F(ConversationTest, SaysPiecesOfTheTextRoundItsEnd) {
  traffic_.workload.prompt_tokens = Constant(7);
  Conversation talk = Make();
  talk.Begin(At(0));
  const Steps steps = talk.OnResponse(Opened(), At(0));
  const auto& ids = std::get<Send>(steps.front()).request.turn().token_ids().ids();
  ASSERT_EQ(ids.size(), 7);
  for (int i = 1; i < 7; ++i) EXPECT_EQ(ids[i], ids[i - 1] == 14 ? 10 : ids[i - 1] + 1);
}

TEST_F(ConversationTest, AfterThinkingATurnIsTimedFromWhenItWasDueNotFromWhenItWasSent) {
  traffic_.workload.think_ms = Constant(1000);
  Conversation talk = Make();
  talk.Begin(At(0));
  talk.OnResponse(Opened(), At(0));
  talk.OnResponse(Delta(1), At(10));
  EXPECT_THAT(Say(talk.OnResponse(TurnDone(1), At(20))), ElementsAre("wake at 1020"));
  EXPECT_THAT(Say(talk.OnWake(At(1019))), ElementsAre());
  EXPECT_THAT(Say(talk.OnWake(At(1300))), ElementsAre("turn of 3"));  // late by 280
  EXPECT_THAT(Say(talk.OnWake(At(1301))), ElementsAre());
  talk.OnResponse(Delta(2), At(1400));
  EXPECT_NEAR(measurement_.ttft().Max(), 380, 1);
}

TEST_F(ConversationTest, InAnOpenLoopTheFirstReplyIsAwaitedSinceTheArrival) {
  traffic_.workload.rate = 1;
  Conversation talk = Make();
  talk.Begin(At(100));
  EXPECT_THAT(Say(talk.OnResponse(Opened(), At(900))), ElementsAre("turn of 3"));
  talk.OnResponse(Delta(1), At(1000));
  EXPECT_NEAR(measurement_.ttft().Max(), 900, 2);
  EXPECT_NEAR(measurement_.session_start().Max(), 800, 2);
}

TEST_F(ConversationTest, ALongSessionReadsItsHistoryInPiecesFirst) {
  traffic_.workload.history_tokens = Constant(10);
  Conversation talk = Make();
  talk.Begin(At(0));
  v1::ConverseResponse done;
  done.mutable_append_done();
  EXPECT_THAT(Say(talk.OnResponse(Opened(), At(10))), ElementsAre("append of 4"));
  EXPECT_THAT(Say(talk.OnResponse(done, At(20))), ElementsAre("append of 4"));
  EXPECT_THAT(Say(talk.OnResponse(done, At(30))), ElementsAre("append of 2"));
  EXPECT_THAT(Say(talk.OnResponse(done, At(40))), ElementsAre("turn of 3"));
  EXPECT_NEAR(measurement_.session_start().Max(), 40, 0.2);
}

TEST_F(ConversationTest, AHistoryIsReadOnInTheTextFromPieceToPiece) {
  traffic_.workload.history_tokens = Constant(10);
  Conversation talk = Make();
  talk.Begin(At(0));
  v1::ConverseResponse done;
  done.mutable_append_done();
  std::vector<int32_t> read;
  Steps steps = talk.OnResponse(Opened(), At(10));
  while (talk.state() == Conversation::State::kReading) {
    const auto& ids = std::get<Send>(steps.front()).request.append().token_ids().ids();
    read.insert(read.end(), ids.begin(), ids.end());
    steps = talk.OnResponse(done, At(20));
  }
  ASSERT_EQ(read.size(), 10u);
  for (size_t i = 1; i < 10; ++i) EXPECT_EQ(read[i], read[i - 1] == 14 ? 10 : read[i - 1] + 1);
}

TEST_F(ConversationTest, BehindAHistoryTheFirstTurnTakesNoThinking) {
  traffic_.workload.history_tokens = Constant(1);
  traffic_.workload.think_ms = Constant(1000);
  Conversation talk = Make();
  talk.Begin(At(0));
  talk.OnResponse(Opened(), At(10));
  v1::ConverseResponse done;
  done.mutable_append_done();
  EXPECT_THAT(Say(talk.OnResponse(done, At(20))), ElementsAre("turn of 3"));
  EXPECT_THAT(Say(talk.OnResponse(TurnDone(2), At(30))), ElementsAre("wake at 1030"));
}

TEST_F(ConversationTest, WaitsAtTheGateWithItsWarmupBehindIt) {
  Conversation talk = Make(/*gate=*/true);
  talk.Begin(At(0));
  EXPECT_THAT(Say(talk.OnResponse(Opened(), At(0))), ElementsAre("turn of 3"));
  EXPECT_THAT(Say(talk.OnResponse(TurnDone(1), At(10))), ElementsAre());
  EXPECT_EQ(talk.state(), Conversation::State::kAtGate);
  EXPECT_THAT(Say(talk.PassGate(At(500))), ElementsAre("turn of 3"));
  EXPECT_THAT(Say(talk.OnResponse(TurnDone(2), At(510))), ElementsAre("turn of 3"));
  EXPECT_THAT(Say(talk.OnResponse(TurnDone(3), At(520))), ElementsAre("close", "half-close"));
}

TEST_F(ConversationTest, CancelsOnceInTheMidstOfAReply) {
  traffic_.workload.cancel_share = 1;
  Conversation talk = Make();
  talk.Begin(At(0));
  talk.OnResponse(Opened(), At(0));
  EXPECT_THAT(Say(talk.OnResponse(Delta(1, 3), At(10))), ElementsAre("cancel"));
  EXPECT_THAT(Say(talk.OnResponse(Delta(1), At(11))), ElementsAre());
  EXPECT_THAT(Say(talk.OnResponse(TurnDone(1, v1::FINISH_REASON_CANCELLED), At(12))),
              ElementsAre("turn of 3"));
  EXPECT_EQ(measurement_.bent_turns(), 1);
  EXPECT_EQ(measurement_.finished_turns(), 0);
}

TEST_F(ConversationTest, ATurnThatACancelComesTooLateForIsOneLikeAnyOther) {
  traffic_.workload.cancel_share = 1;
  Conversation talk = Make();
  talk.Begin(At(0));
  talk.OnResponse(Opened(), At(0));
  EXPECT_THAT(Say(talk.OnResponse(Delta(1, 3), At(10))), ElementsAre("cancel"));
  talk.OnResponse(TurnDone(1), At(12));
  EXPECT_EQ(measurement_.bent_turns(), 0);
  EXPECT_EQ(measurement_.finished_turns(), 1);
}

TEST_F(ConversationTest, ASessionThatReadsUntilTheEndIsToldAsWithoutATurn) {
  traffic_.workload.history_tokens = Constant(1);
  measurement_.Open(At(0), At(20));
  Conversation talk = Make();
  talk.Begin(At(0));
  talk.OnResponse(Opened(), At(10));
  EXPECT_EQ(measurement_.sessions_without_turn(), 0);
  v1::ConverseResponse done;
  done.mutable_append_done();
  EXPECT_THAT(Say(talk.OnResponse(done, At(21))), ElementsAre());
  EXPECT_EQ(measurement_.sessions_without_turn(), 1);
}

TEST_F(ConversationTest, DropsItsStreamAndIsAttachedAgain) {
  traffic_.workload.drop_share = 1;
  Conversation talk = Make();
  talk.Begin(At(0));
  talk.OnResponse(Opened(), At(0));
  EXPECT_THAT(Say(talk.OnResponse(Delta(1, 3), At(10))), ElementsAre("drop"));
  EXPECT_THAT(Say(talk.OnResponse(Delta(1), At(11))), ElementsAre());
  EXPECT_THAT(Say(talk.OnStreamEnd(absl::CancelledError())), ElementsAre("connect", "open abc"));
  EXPECT_THAT(Say(talk.OnResponse(Opened(), At(30))), ElementsAre("turn of 3"));
  EXPECT_EQ(measurement_.errors(), 0);
  EXPECT_NEAR(measurement_.reattach().Max(), 20, 0.2);
}

TEST_F(ConversationTest, AFailedTurnCountsAndTheNextOneWaitsALittle) {
  Conversation talk = Make();
  talk.Begin(At(0));
  talk.OnResponse(Opened(), At(0));
  EXPECT_THAT(Say(talk.OnResponse(Failed(1, absl::StatusCode::kResourceExhausted), At(10))),
              ElementsAre("wake at 1010"));
  EXPECT_EQ(measurement_.errors_by_code().at(absl::StatusCode::kResourceExhausted).count, 1);
}

TEST_F(ConversationTest, AStreamThatBreaksEndsItWithAnError) {
  Conversation talk = Make();
  talk.Begin(At(0));
  talk.OnResponse(Opened(), At(0));
  EXPECT_THAT(Say(talk.OnStreamEnd(absl::DataLossError("gone"))), ElementsAre());
  EXPECT_EQ(talk.error(), absl::DataLossError("gone"));
  EXPECT_EQ(talk.state(), Conversation::State::kEnded);
  EXPECT_EQ(measurement_.errors_by_code().at(absl::StatusCode::kDataLoss).count, 1);
}

TEST_F(ConversationTest, AStreamThatTheServerEndsUnaskedIsAborted) {
  Conversation talk = Make();
  talk.Begin(At(0));
  talk.OnResponse(Opened(), At(0));
  talk.OnStreamEnd(absl::OkStatus());
  EXPECT_EQ(talk.error().code(), absl::StatusCode::kAborted);
  EXPECT_EQ(measurement_.errors_by_code().at(absl::StatusCode::kAborted).count, 1);
}

TEST_F(ConversationTest, AStreamThatBreaksFailsTheTurnOnlyThatIsDue) {
  Conversation replying = Make();
  replying.Begin(At(0));
  replying.OnResponse(Opened(), At(0));
  replying.OnStreamEnd(absl::DataLossError("gone"));
  EXPECT_EQ(measurement_.judged_turns(), 1);

  Conversation unopened = Make();
  unopened.Begin(At(0));
  unopened.OnStreamEnd(absl::DataLossError("gone"));
  EXPECT_EQ(measurement_.judged_turns(), 2);

  traffic_.workload.think_ms = Constant(1000);
  Conversation thinking = Make();
  thinking.Begin(At(0));
  thinking.OnResponse(Opened(), At(0));
  thinking.OnResponse(TurnDone(1), At(10));
  EXPECT_EQ(measurement_.judged_turns(), 3);
  thinking.OnStreamEnd(absl::DataLossError("gone"));
  EXPECT_EQ(measurement_.judged_turns(), 3);
  EXPECT_EQ(measurement_.errors(), 3);
}

TEST_F(ConversationTest, AHistoryThatIsRefusedEndsIt) {
  traffic_.workload.history_tokens = Constant(1);
  Conversation talk = Make();
  talk.Begin(At(0));
  talk.OnResponse(Opened(), At(0));
  EXPECT_THAT(Say(talk.OnResponse(Failed(1, absl::StatusCode::kInvalidArgument), At(10))),
              ElementsAre("close", "half-close"));
  EXPECT_EQ(talk.error().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(ConversationTest, NoTurnIsDueAtTheEndOfTheWindowOrLater) {
  measurement_.CloseAt(At(100));
  Conversation talk = Make();
  talk.Begin(At(0));
  talk.OnResponse(Opened(), At(0));
  EXPECT_THAT(Say(talk.WindDown()), ElementsAre());  // its turn was due
  EXPECT_THAT(Say(talk.OnResponse(TurnDone(1), At(100))), ElementsAre("close", "half-close"));
  EXPECT_EQ(measurement_.finished_turns(), 1);
}

TEST_F(ConversationTest, WhoWouldThinkBeyondTheEndStaysUntilItIsWoundDown) {
  traffic_.workload.think_ms = Constant(1000);
  measurement_.CloseAt(At(100));
  Conversation talk = Make();
  talk.Begin(At(0));
  talk.OnResponse(Opened(), At(0));
  EXPECT_THAT(Say(talk.OnResponse(TurnDone(1), At(90))), ElementsAre());
  EXPECT_FALSE(talk.Over());
  EXPECT_THAT(Say(talk.WindDown()), ElementsAre("close", "half-close"));
}

TEST_F(ConversationTest, AnAnswerFromBeforeTheEndThatIsSeenAfterItIsTheLast) {
  traffic_.workload.think_ms = Constant(1000);
  measurement_.CloseAt(At(100));
  Conversation talk = Make();
  talk.Begin(At(0));
  talk.OnResponse(Opened(), At(0));
  EXPECT_THAT(Say(talk.WindDown()), ElementsAre());
  EXPECT_THAT(Say(talk.OnResponse(TurnDone(1), At(90))), ElementsAre("close", "half-close"));
}

TEST_F(ConversationTest, ATurnThatWasDueInTheWindowIsSentAfterItsEnd) {
  traffic_.workload.rate = 1;
  measurement_.CloseAt(At(100));
  Conversation talk = Make();
  talk.Begin(At(50));
  EXPECT_THAT(Say(talk.WindDown()), ElementsAre());
  EXPECT_THAT(Say(talk.OnResponse(Opened(), At(900))), ElementsAre("turn of 3"));
}

TEST_F(ConversationTest, GivenUpATurnThatWasDueIsAnError) {
  Conversation talk = Make();
  talk.Begin(At(0));
  talk.OnResponse(Opened(), At(0));
  EXPECT_THAT(Say(talk.GiveUp(/*unfinished=*/true)), ElementsAre("close", "half-close"));
  EXPECT_THAT(Say(talk.GiveUp(/*unfinished=*/true)), ElementsAre());
  EXPECT_EQ(measurement_.errors_by_code().at(absl::StatusCode::kDeadlineExceeded).count, 1);

  Conversation unopened = Make();
  unopened.Begin(At(0));
  EXPECT_THAT(Say(unopened.GiveUp(/*unfinished=*/true)), ElementsAre("drop"));
  EXPECT_EQ(measurement_.errors_by_code().at(absl::StatusCode::kDeadlineExceeded).count, 2);
}

TEST_F(ConversationTest, GivenUpAHistoryThatIsStillReadIsAnError) {
  traffic_.workload.history_tokens = Constant(10);
  Conversation talk = Make();
  talk.Begin(At(0));
  talk.OnResponse(Opened(), At(0));
  EXPECT_THAT(Say(talk.GiveUp(/*unfinished=*/true)), ElementsAre("close", "half-close"));
  EXPECT_EQ(measurement_.errors_by_code().at(absl::StatusCode::kDeadlineExceeded).count, 1);
  EXPECT_EQ(measurement_.judged_turns(), 1);
}

TEST_F(ConversationTest, GivenUpASessionThatIsNotAttachedAgainIsAnError) {
  traffic_.workload.drop_share = 1;
  Conversation talk = Make();
  talk.Begin(At(0));
  talk.OnResponse(Opened(), At(0));
  talk.OnResponse(Delta(1, 3), At(10));
  talk.OnStreamEnd(absl::CancelledError());
  EXPECT_THAT(Say(talk.GiveUp(/*unfinished=*/true)), ElementsAre("close", "half-close"));
  EXPECT_EQ(measurement_.errors_by_code().at(absl::StatusCode::kDeadlineExceeded).count, 1);
  EXPECT_EQ(measurement_.judged_turns(), 0);  // its turn is counted already, as dropped
}

TEST_F(ConversationTest, GivenUpInThoughtIsNoError) {
  traffic_.workload.think_ms = Constant(1000);
  Conversation talk = Make();
  talk.Begin(At(0));
  talk.OnResponse(Opened(), At(0));
  talk.OnResponse(TurnDone(1), At(10));
  EXPECT_THAT(Say(talk.GiveUp(/*unfinished=*/true)), ElementsAre("close", "half-close"));
  EXPECT_EQ(measurement_.errors(), 0);
}

TEST_F(ConversationTest, SlowReadersSayNothingAboutGapsAndTurns) {
  traffic_.workload.slow_share = 1;
  Conversation talk = Make();
  EXPECT_TRUE(talk.reads_slowly());
  talk.Begin(At(0));
  talk.OnResponse(Opened(), At(0));
  talk.OnResponse(Delta(1), At(10));
  talk.OnResponse(Delta(1), At(900));
  talk.OnResponse(TurnDone(1), At(1000));
  EXPECT_EQ(measurement_.tokens(), 2);
  EXPECT_EQ(measurement_.ttft().count(), 1);
  EXPECT_EQ(measurement_.itl().count(), 0);
  EXPECT_EQ(measurement_.bent_turns(), 1);
}

}  // namespace
}  // namespace sinkstream::loadgen
