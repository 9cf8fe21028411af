// sinkstream-chat as a process: piped, and in a pseudo-terminal.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <future>
#include <string>
#include <thread>
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
  EXPECT_EQ(outcome.out, "sinkstream-chat: --server: is 'localhost'; must be ADDRESS:PORT\n");
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

TEST(PipedChatTest, AReplyThatNobodyReadsIsCancelledAndTheSessionClosed) {
  const ScratchFiles files;
  bool cancelled = false, closed = false;
  ScriptedServer server([&](ServerStream& stream) {
    Receive(stream);
    SendOpened(stream, "abc");
    Receive(stream);
    for (const char* piece : {"on ", "and ", "on"}) SendDelta(stream, piece);
    cancelled = Receive(stream).has_cancel();
    SendTurnDone(stream, v1::FINISH_REASON_CANCELLED);
    v1::ConverseRequest last;
    while (!closed && stream.Read(&last)) closed = last.has_close();  // cancels come before
    return grpc::Status::OK;
  });
  const Outcome outcome = RunCommand(IntoClosedPipe(files.Path("pipe")) + "printf 'go\\nagain' | " +
                                     SINKSTREAM_CHAT " --server=" + server.address());
  EXPECT_TRUE(cancelled);
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

// sinkstream-chat with a terminal of its own.
class TerminalChat {
 public:
  // `hangup`: what SIGHUP does to it, which its parent may keep from it.
  explicit TerminalChat(const std::string& server, const char* flag = "--stats=no",
                        sighandler_t hangup = SIG_DFL) {
    pid_ = forkpty(&terminal_, nullptr, nullptr, nullptr);
    if (pid_ == 0) {
      signal(SIGHUP, hangup);
      const std::string server_flag = "--server=" + server;
      execl(SINKSTREAM_CHAT, "sinkstream-chat", server_flag.c_str(), flag, nullptr);
      _exit(127);
    }
  }
  ~TerminalChat() {
    CloseTerminal();
    if (pid_ > 0) kill(pid_, SIGKILL);
  }

  void Type(const std::string& keys) {
    EXPECT_EQ(write(terminal_, keys.data(), keys.size()), static_cast<ssize_t>(keys.size()));
  }
  // Reads the screen until it shows `text` after what was seen before; false if the process ends
  // without it.
  bool See(const std::string& text) {
    for (size_t found; (found = screen_.find(text, seen_)) == std::string::npos;) {
      std::array<char, 256> bytes;
      const ssize_t count = read(terminal_, bytes.data(), bytes.size());
      if (count <= 0) return false;
      screen_.append(bytes.data(), static_cast<size_t>(count));
    }
    seen_ = screen_.find(text, seen_) + text.size();
    return true;
  }
  void CloseTerminal() {
    if (terminal_ >= 0) close(std::exchange(terminal_, -1));
  }
  int ExitCode() {
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  const std::string& screen() const { return screen_; }

 private:
  int terminal_ = -1;
  pid_t pid_ = -1;
  std::string screen_;
  size_t seen_ = 0;
};

constexpr char kCtrlC[] = "\x03";
constexpr char kCtrlD[] = "\x04";

TEST(TerminalChatTest, AConversationEndsWithTheInput) {
  ScriptedServer server(Echo);
  TerminalChat chat(server.address());
  ASSERT_TRUE(chat.See("> ")) << chat.screen();
  chat.Type("hello \\\nthere\n");
  EXPECT_TRUE(chat.See("you said hello \r\nthere\r\n> ")) << chat.screen();
  chat.Type("/help\n");
  EXPECT_TRUE(chat.See("/detach")) << chat.screen();
  EXPECT_TRUE(chat.See("> ")) << chat.screen();
  chat.Type(kCtrlD);
  EXPECT_EQ(chat.ExitCode(), 0);
}

TEST(TerminalChatTest, WhatWouldControlTheTerminalIsReplaced) {
  ScriptedServer server([](ServerStream& stream) {
    Receive(stream);
    SendOpened(stream, "abc");
    Receive(stream);
    SendDelta(stream, "\x1b]0;caf\u00e9\a");
    SendFailed(stream, grpc::StatusCode::INTERNAL, "\x1b[2J");
    return grpc::Status::OK;
  });
  TerminalChat chat(server.address());
  chat.Type(std::string("go\n") + kCtrlD);
  EXPECT_TRUE(chat.See("\ufffd]0;caf\u00e9\ufffd\r\nsinkstream-chat: INTERNAL: \ufffd[2J\r\n"))
      << chat.screen();
}

TEST(TerminalChatTest, CtrlCCancelsAReplyAndQuitsAtThePrompt) {
  ScriptedServer server([](ServerStream& stream) {
    Receive(stream);
    SendOpened(stream, "abc");
    Receive(stream);
    SendDelta(stream, "on and on");
    if (Receive(stream).has_cancel()) SendTurnDone(stream, v1::FINISH_REASON_CANCELLED);
    Receive(stream);
    return grpc::Status::OK;
  });
  TerminalChat chat(server.address());
  ASSERT_TRUE(chat.See("> ")) << chat.screen();
  chat.Type("go\n");
  ASSERT_TRUE(chat.See("on and on")) << chat.screen();
  chat.Type(kCtrlC);
  ASSERT_TRUE(chat.See("> ")) << chat.screen();
  chat.Type(kCtrlC);
  EXPECT_EQ(chat.ExitCode(), 0);
}

TEST(TerminalChatTest, ASecondCtrlCLeavesAServerThatIsStuck) {
  ScriptedServer server([](ServerStream& stream) {
    Receive(stream);
    SendOpened(stream, "abc");
    Receive(stream);
    SendDelta(stream, "stuck");
    if (Receive(stream).has_cancel()) SendDelta(stream, "still stuck");
    while (Receive(stream).event_case() != v1::ConverseRequest::EVENT_NOT_SET) {
    }
    return grpc::Status::OK;
  });
  TerminalChat chat(server.address());
  chat.Type("go\n");
  ASSERT_TRUE(chat.See("stuck")) << chat.screen();
  chat.Type(kCtrlC);
  ASSERT_TRUE(chat.See("still stuck")) << chat.screen();
  chat.Type(kCtrlC);
  EXPECT_TRUE(chat.See("connection lost, session abc: CANCELLED")) << chat.screen();
  EXPECT_EQ(chat.ExitCode(), 1);
}

TEST(TerminalChatTest, CtrlCGivesUpOpening) {
  std::promise<void> opening;
  ScriptedServer server([&](ServerStream& stream, grpc::ServerContext& context) {
    Receive(stream);
    opening.set_value();
    return HoldUntilDropped(stream, context);
  });
  TerminalChat chat(server.address());
  opening.get_future().wait();
  chat.Type(kCtrlC);
  EXPECT_TRUE(chat.See("CANCELLED: given up")) << chat.screen();
  EXPECT_EQ(chat.ExitCode(), 1);
}

TEST(TerminalChatTest, CtrlCIsNotLostBetweenOpeningAndThePrompt) {
  ScriptedServer server(Echo);
  for (int i = 0; i < 10; ++i) {
    TerminalChat chat(server.address());
    ASSERT_TRUE(chat.See("session ")) << chat.screen();
    chat.Type(kCtrlC);
    chat.ExitCode();  // ends
  }
}

TEST(TerminalChatTest, AReplyToAClosedTerminalIsCancelled) {
  std::promise<bool> cancelled;
  ScriptedServer server([&](ServerStream& stream, grpc::ServerContext& context) {
    Receive(stream);
    SendOpened(stream, "abc");
    Receive(stream);
    std::thread speaker([&] {
      while (!context.IsCancelled()) SendDelta(stream, "on and on");
    });
    cancelled.set_value(Receive(stream).has_cancel());
    context.TryCancel();
    speaker.join();
    return grpc::Status::OK;
  });
  {
    TerminalChat chat(server.address(), "--stats=no", SIG_IGN);
    chat.Type("go\n");
    ASSERT_TRUE(chat.See("on and on")) << chat.screen();
    chat.CloseTerminal();
    EXPECT_TRUE(cancelled.get_future().get());
    chat.ExitCode();
  }
}

TEST(TerminalChatTest, CtrlCGivesUpEndingASession) {
  for (const std::string& end :
       {std::string("/quit\n"), std::string("/detach\n"), std::string(kCtrlD)}) {
    std::promise<void> ending;
    ScriptedServer server([&](ServerStream& stream, grpc::ServerContext& context) {
      Receive(stream);
      SendOpened(stream, "abc");
      Receive(stream);
      ending.set_value();
      return HoldUntilDropped(stream, context);
    });
    TerminalChat chat(server.address());
    chat.Type(end);
    ending.get_future().wait();
    chat.Type(kCtrlC);
    EXPECT_TRUE(chat.See("CANCELLED: given up")) << chat.screen();
    EXPECT_EQ(chat.ExitCode(), 0);
  }
}

TEST(TerminalChatTest, CtrlCGivesUpANewSession) {
  int streams = 0;
  std::promise<void> opening;
  ScriptedServer server([&](ServerStream& stream, grpc::ServerContext& context) {
    Receive(stream);
    if (++streams == 2) {
      opening.set_value();
      return HoldUntilDropped(stream, context);
    }
    SendOpened(stream, "abc");
    Receive(stream);
    return grpc::Status::OK;
  });
  TerminalChat chat(server.address());
  chat.Type("/new\n");
  opening.get_future().wait();
  chat.Type(kCtrlC);
  EXPECT_TRUE(chat.See("CANCELLED: given up")) << chat.screen();
  EXPECT_EQ(chat.ExitCode(), 1);
}

TEST(TerminalChatTest, ABrokenStreamIsAttachedAgainOnce) {
  int streams = 0;
  ScriptedServer server([&](ServerStream& stream) {
    if (++streams == 2) {
      SendOpened(stream, Receive(stream).open().session_id(), /*resumed=*/true);
      Receive(stream);
      SendDelta(stream, "here again", 2);
      SendTurnDone(stream, v1::FINISH_REASON_END_OF_TURN, 2);
      Receive(stream);
      return grpc::Status::OK;
    }
    Receive(stream);
    SendOpened(stream, "abc");
    Receive(stream);
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "connection reset");
  });
  TerminalChat chat(server.address());
  chat.Type("one\n");
  EXPECT_TRUE(chat.See("back in session abc")) << chat.screen();
  EXPECT_TRUE(chat.See("the reply is lost: ask again")) << chat.screen();
  chat.Type("two\n");
  EXPECT_TRUE(chat.See("here again")) << chat.screen();
  chat.Type("/detach\n");
  EXPECT_TRUE(chat.See("come back with --session=abc")) << chat.screen();
  EXPECT_EQ(chat.ExitCode(), 0);
}

TEST(TerminalChatTest, ASessionIsAttachedAgainByItsIdAlone) {
  std::vector<v1::Open> opens;
  ScriptedServer server([&](ServerStream& stream) {
    opens.push_back(Receive(stream).open());
    SendOpened(stream, "abc", /*resumed=*/opens.size() == 2);
    Receive(stream);
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "connection reset");
  });
  TerminalChat chat(server.address(), "--window=500");
  chat.Type("one\n");
  EXPECT_TRUE(chat.See("ask again")) << chat.screen();
  ASSERT_EQ(opens.size(), 2u);
  EXPECT_EQ(opens[0].ShortDebugString(), "window: 500");
  EXPECT_EQ(opens[1].ShortDebugString(), "session_id: \"abc\"");
}

TEST(TerminalChatTest, ALostSessionIsOfferedAgainUnlessItIsGone) {
  for (const auto& [code, offered] : {std::pair(grpc::StatusCode::NOT_FOUND, false),
                                      std::pair(grpc::StatusCode::DATA_LOSS, false),
                                      std::pair(grpc::StatusCode::UNAVAILABLE, true)}) {
    int streams = 0;
    ScriptedServer server([&](ServerStream& stream) {
      Receive(stream);
      if (++streams == 2) return grpc::Status(code, "no");
      SendOpened(stream, "abc");
      Receive(stream);
      return grpc::Status(grpc::StatusCode::UNAVAILABLE, "connection reset");
    });
    TerminalChat chat(server.address());
    chat.Type("one\n");
    EXPECT_EQ(chat.See("there again later: --session=abc"), offered) << chat.screen();
    EXPECT_EQ(chat.ExitCode(), 1);
  }
}

}  // namespace
}  // namespace sinkstream
