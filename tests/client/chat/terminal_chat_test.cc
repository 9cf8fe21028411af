// sinkstream-chat in a terminal.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <future>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/client/scripted_server.h"
#include "tests/client/terminal_process.h"

namespace sinkstream {
namespace {

class TerminalChat : public TerminalProcess {
 public:
  explicit TerminalChat(const std::string& server, const char* flag = "--stats=no",
                        sighandler_t hangup = SIG_DFL)
      : TerminalProcess({SINKSTREAM_CHAT, "--server=" + server, flag}, hangup) {}
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
