// sinkstream-chat as a process whose input is piped.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "tests/client/command.h"
#include "tests/client/scripted_server.h"
#include "tests/scratch_files.h"

namespace sinkstream {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

// `input` is quoted for the shell's printf. `redirect`: where standard error goes.
Outcome Pipe(const std::string& input, const std::string& arguments, const std::string& redirect) {
  return RunCommand("printf '" + input + "' | " SINKSTREAM_CHAT " " + arguments + " " + redirect);
}

TEST(PipedChatTest, EachLineIsATurnAndOnlyRepliesArePrinted) {
  ScriptedServer server(Echo);
  const Outcome outcome =
      Pipe("one\\n\\n/two\\n\\033[2J", "--stats --server=" + server.address(), "2>/dev/null");
  EXPECT_EQ(outcome.out, "you said one\nyou said /two\nyou said \x1b[2J\n");
  EXPECT_EQ(outcome.exit_code, 0);
}

TEST(PipedChatTest, WithoutAServerItSaysSoInOneLineAndFails) {
  const Outcome outcome = Pipe("hi\\n", "--server=127.0.0.1:1", "2>&1");
  EXPECT_THAT(outcome.out, HasSubstr("sinkstream-chat: 127.0.0.1:1: UNAVAILABLE: "));
  EXPECT_EQ(std::count(outcome.out.begin(), outcome.out.end(), '\n'), 1);
  EXPECT_EQ(outcome.exit_code, 1);
}

TEST(CheckTest, ExitsWithWhatTheHealthServiceSays) {
  ScriptedServer server(Echo);
  const std::string check = SINKSTREAM_CHAT " --check --server=" + server.address() + " 2>&1";
  EXPECT_EQ(RunCommand(check).exit_code, 0);
  EXPECT_EQ(RunCommand(check).out, "");
  server.SetServing(false);
  const Outcome draining = RunCommand(check);
  EXPECT_EQ(draining.out,
            "sinkstream-chat: " + server.address() + ": UNAVAILABLE: it says NOT_SERVING\n");
  EXPECT_EQ(draining.exit_code, 1);
}

TEST(CheckTest, AServerThatIsNotThereFailsWithTheReason) {
  const Outcome outcome = RunCommand(SINKSTREAM_CHAT " --check --server=127.0.0.1:1 2>&1");
  EXPECT_THAT(outcome.out, StartsWith("sinkstream-chat: 127.0.0.1:1: UNAVAILABLE: "));
  EXPECT_THAT(outcome.out, HasSubstr("Connection refused"));
  EXPECT_EQ(outcome.exit_code, 1);
}

TEST(PipedChatTest, AServerWithoutAPortIsRefused) {
  const Outcome outcome = Pipe("hi\\n", "--server=localhost", "2>&1");
  EXPECT_EQ(outcome.out,
            "sinkstream-chat: --server: is 'localhost'; must be ADDRESS:PORT, the port from 1 to "
            "65535\n");
  EXPECT_EQ(outcome.exit_code, 1);
}

TEST(PipedChatTest, ALostServerIsToldWithTheSessionToComeBackTo) {
  ScriptedServer server([](ServerStream& stream) {
    Receive(stream);
    SendOpened(stream, "abc");
    Receive(stream);
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "shutting down");
  });
  const Outcome outcome = Pipe("hi\\nagain\\n", "--server=" + server.address(), "2>&1 >/dev/null");
  EXPECT_EQ(outcome.out,
            "sinkstream-chat: connection lost, session abc: UNAVAILABLE: shutting down\n");
  EXPECT_EQ(outcome.exit_code, 1);
}

TEST(PipedChatTest, AReplyThatNobodyReadsIsCancelledOnceAndTheSessionClosed) {
  const ScratchFiles files;
  int cancels = 0;
  bool closed = false;
  ScriptedServer server([&](ServerStream& stream) {
    Receive(stream);
    SendOpened(stream, "abc");
    Receive(stream);
    for (const char* piece : {"on ", "and ", "on"}) SendDelta(stream, piece);
    cancels += Receive(stream).has_cancel();
    SendTurnDone(stream, v1::FINISH_REASON_CANCELLED);
    v1::ConverseRequest last;
    while (!closed && stream.Read(&last)) {
      cancels += last.has_cancel();
      closed = last.has_close();
    }
    return grpc::Status::OK;
  });
  const Outcome outcome = RunCommand(IntoClosedPipe(files.Path("pipe")) + "printf 'go\\nagain' | " +
                                     SINKSTREAM_CHAT " --server=" + server.address());
  EXPECT_EQ(cancels, 1);
  EXPECT_TRUE(closed);
  EXPECT_EQ(outcome.exit_code, 1);
}

TEST(PipedChatTest, AFailedTurnDoesNotStopTheNextButFailsTheRun) {
  ScriptedServer server([](ServerStream& stream) {
    Receive(stream);
    SendOpened(stream, "abc");
    Receive(stream);
    SendFailed(stream, grpc::StatusCode::INVALID_ARGUMENT, "turn.text: too long");
    Receive(stream);
    SendDelta(stream, "fine", 2);
    SendTurnDone(stream, v1::FINISH_REASON_END_OF_TURN, 2);
    Receive(stream);
    return grpc::Status::OK;
  });
  const Outcome outcome = Pipe("long\\nshort\\n", "--server=" + server.address(), "2>/dev/null");
  EXPECT_THAT(outcome.out, HasSubstr("fine\n"));
  EXPECT_EQ(outcome.exit_code, 1);
}

TEST(PipedChatTest, ALineThatIsNotUtf8IsRefusedAloneAndFailsTheRun) {
  ScriptedServer server(Echo);
  const std::string flag = "--server=" + server.address();
  const Outcome replies = Pipe("one\\ncaf\\351\\nthree\\n", flag, "2>/dev/null");
  EXPECT_EQ(replies.out, "you said one\n\nyou said three\n");
  EXPECT_EQ(replies.exit_code, 1);
  const Outcome notes = Pipe("caf\\351\\n", flag, "2>&1 >/dev/null");
  EXPECT_EQ(notes.out, "sinkstream-chat: INVALID_ARGUMENT: not sent, it is not UTF-8: caf\\xe9\n");
}

TEST(PipedChatTest, InstructionsThatAreNotUtf8AreRefused) {
  const Outcome outcome = Pipe("hi\\n", "--system=$(printf \"caf\\351\")", "2>&1");
  EXPECT_EQ(outcome.out, "sinkstream-chat: --system is not UTF-8\n");
  EXPECT_EQ(outcome.exit_code, 1);
}

TEST(PipedChatTest, FlagsBecomeSettingsOfTheSessionAndOfEachTurn) {
  v1::ConverseRequest open, turn;
  ScriptedServer server([&](ServerStream& stream) {
    open = Receive(stream);
    SendOpened(stream, "abc");
    turn = Receive(stream);
    SendTurnDone(stream, v1::FINISH_REASON_END_OF_TURN);
    Receive(stream);
    return grpc::Status::OK;
  });
  const Outcome outcome =
      Pipe("x",
           "--system=Rhyme. --sinks=8 --window=500 --temperature=0 --top_k=3 --top_p=0.5 "
           "--seed=9 --max_tokens=7 --server=" +
               server.address(),
           "");
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_EQ(open.open().ShortDebugString(), "system_prompt: \"Rhyme.\" sinks: 8 window: 500");
  EXPECT_EQ(turn.turn().sampling().ShortDebugString(),
            "temperature: 0 top_k: 3 top_p: 0.5 seed: 9 max_tokens: 7");
}

TEST(PipedChatTest, AValueMayLookLikeAFlag) {
  v1::ConverseRequest open;
  ScriptedServer server([&](ServerStream& stream) {
    open = Receive(stream);
    SendOpened(stream, "abc");
    Receive(stream);
    return grpc::Status::OK;
  });
  EXPECT_EQ(Pipe("", "--system --help --server=" + server.address(), "").exit_code, 0);
  EXPECT_EQ(open.open().ShortDebugString(), "system_prompt: \"--help\"");
}

TEST(PipedChatTest, RepliesAreTheLikeliestUnlessChanceIsAskedFor) {
  std::vector<std::string> sampling;
  ScriptedServer server([&](ServerStream& stream) {
    Receive(stream);
    SendOpened(stream, "abc");
    sampling.push_back(Receive(stream).turn().sampling().ShortDebugString());
    SendTurnDone(stream, v1::FINISH_REASON_END_OF_TURN);
    Receive(stream);
    return grpc::Status::OK;
  });
  for (const char* flags : {"", "--temperature=0.5", "--seed=3"}) {
    Pipe("x", std::string(flags) + " --server=" + server.address(), "");
  }
  EXPECT_THAT(sampling, testing::ElementsAre("temperature: 0", "temperature: 0.5", "seed: 3"));
}

TEST(PipedChatTest, ASessionOfItsOwnIsClosedAndAGivenOneIsLeft) {
  std::vector<std::string> endings;
  ScriptedServer server([&](ServerStream& stream) {
    const v1::ConverseRequest open = Receive(stream);
    SendOpened(stream, "abc");
    endings.push_back(open.open().session_id() +
                      (Receive(stream).has_close() ? " close" : " half-close"));
    return grpc::Status::OK;
  });
  Pipe("", "--server=" + server.address(), "");
  Pipe("", "--session=abc --server=" + server.address(), "");
  EXPECT_THAT(endings, testing::ElementsAre(" close", "abc half-close"));
}

TEST(PipedChatTest, HelpAndVersionAreAnsweredAndABadFlagIsRefused) {
  const Outcome help = Pipe("", "--help", "");
  EXPECT_THAT(help.out, AllOf(HasSubstr("--server"), HasSubstr("--max-tokens")));
  EXPECT_EQ(help.exit_code, 0);
  const Outcome version = Pipe("", "--version", "");
  EXPECT_EQ(version.out, "sinkstream-chat " SINKSTREAM_VERSION "\n");
  EXPECT_EQ(version.exit_code, 0);
  const std::pair<const char*, const char*> faults[] = {
      {"--nonsense", "--nonsense is not a flag; --help lists them"},
      {"argument", "unexpected argument 'argument'; --help lists the flags"},
      {"--max_tokens", "--max-tokens: has no value"},
      {"--wait=30", "--wait: is '30'; must be a duration, like 30s or 2m"},
  };
  for (const auto& [flag, fault] : faults) {
    const Outcome outcome = Pipe("", flag, "2>&1");
    EXPECT_EQ(outcome.out, std::string("sinkstream-chat: ") + fault + "\n");
    EXPECT_EQ(outcome.exit_code, 1);
  }
}

}  // namespace
}  // namespace sinkstream
