#include "client/session_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <future>
#include <thread>
#include <vector>

#include "tests/client/listening_socket.h"
#include "tests/client/scripted_server.h"

namespace sinkstream {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

v1::Turn TextTurn(const std::string& text) {
  v1::Turn turn;
  turn.set_text(text);
  return turn;
}

void Ignore(const v1::ConverseResponse&) {}

TEST(SessionClientTest, OpenSendsTheSettingsAndGivesTheAnswer) {
  v1::ConverseRequest received;
  ScriptedServer server([&](ServerStream& stream) {
    received = Receive(stream);
    SendOpened(stream, "abc");
    return grpc::Status::OK;
  });
  SessionClient client(server.address());
  v1::Open open;
  open.set_sinks(7);

  const auto opened = client.Open(open);

  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ(opened->session_id(), "abc");
  EXPECT_EQ(received.open().sinks(), 7);
  EXPECT_TRUE(client.Attached());
}

TEST(SessionClientTest, ARefusedOpenGivesTheCodeAndTheMessageOfTheServer) {
  ScriptedServer server([](ServerStream& stream) {
    Receive(stream);
    return grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "256 sessions live");
  });
  SessionClient client(server.address());

  const auto opened = client.Open({});

  EXPECT_EQ(opened.status(), absl::ResourceExhaustedError("256 sessions live"));
  EXPECT_FALSE(client.Attached());
}

TEST(SessionClientTest, WithoutAServerOpenIsUnavailable) {
  SessionClient client("127.0.0.1:1");
  EXPECT_EQ(client.Open({}).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_FALSE(client.Attached());
}

TEST(SessionClientTest, ATurnGivesItsEventsInOrderThenItsEnd) {
  ScriptedServer server(Echo);
  SessionClient client(server.address());
  ASSERT_TRUE(client.Open({}).ok());
  std::vector<std::string> pieces;

  const auto done = client.Turn(TextTurn("hello"), [&](const v1::ConverseResponse& event) {
    pieces.push_back(event.delta().text());
  });

  ASSERT_TRUE(done.ok()) << done.status();
  EXPECT_EQ(done->finish_reason(), v1::FINISH_REASON_END_OF_TURN);
  EXPECT_THAT(pieces, ElementsAre("you said ", "hello"));
}

TEST(SessionClientTest, AFailedTurnLeavesTheSessionAttached) {
  ScriptedServer server([](ServerStream& stream) {
    Receive(stream);
    SendOpened(stream, "abc");
    Receive(stream);
    SendFailed(stream, grpc::StatusCode::INVALID_ARGUMENT, "turn.text: too long");
    Receive(stream);
    SendTurnDone(stream, v1::FINISH_REASON_LENGTH, 2);
    return grpc::Status::OK;
  });
  SessionClient client(server.address());
  ASSERT_TRUE(client.Open({}).ok());

  EXPECT_EQ(client.Turn(TextTurn("x"), Ignore).status(),
            absl::InvalidArgumentError("turn.text: too long"));
  EXPECT_TRUE(client.Attached());
  EXPECT_TRUE(client.Turn(TextTurn("y"), Ignore).ok());
}

TEST(SessionClientTest, TurnsAreNumberedAndAnswersAboutOthersAreIgnored) {
  std::vector<uint64_t> numbers;
  ScriptedServer server([&](ServerStream& stream) {
    Receive(stream);
    SendOpened(stream, "abc");
    numbers.push_back(Receive(stream).turn().request_id());
    SendTurnDone(stream, v1::FINISH_REASON_END_OF_TURN);
    numbers.push_back(Receive(stream).turn().request_id());
    SendDelta(stream, "late", 1);
    SendTurnDone(stream, v1::FINISH_REASON_CANCELLED, 1);
    SendFailed(stream, grpc::StatusCode::INTERNAL, "of no turn", 0);
    SendDelta(stream, "mine", 2);
    SendTurnDone(stream, v1::FINISH_REASON_LENGTH, 2);
    return grpc::Status::OK;
  });
  SessionClient client(server.address());
  ASSERT_TRUE(client.Open({}).ok());
  ASSERT_TRUE(client.Turn(TextTurn("x"), Ignore).ok());
  std::vector<std::string> pieces;

  const auto done = client.Turn(TextTurn("y"), [&](const v1::ConverseResponse& event) {
    pieces.push_back(event.delta().text());
  });

  ASSERT_TRUE(done.ok()) << done.status();
  EXPECT_EQ(done->finish_reason(), v1::FINISH_REASON_LENGTH);
  EXPECT_THAT(pieces, ElementsAre("mine"));
  EXPECT_THAT(numbers, ElementsAre(1, 2));
}

TEST(SessionClientTest, AStreamThatBreaksInAReplyIsToldAndDetaches) {
  ScriptedServer server([](ServerStream& stream) {
    Receive(stream);
    SendOpened(stream, "abc");
    Receive(stream);
    SendDelta(stream, "half a ");
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "shutting down");
  });
  SessionClient client(server.address());
  ASSERT_TRUE(client.Open({}).ok());

  EXPECT_EQ(client.Turn(TextTurn("x"), Ignore).status(), absl::UnavailableError("shutting down"));
  EXPECT_FALSE(client.Attached());
}

TEST(SessionClientTest, ALostSessionIsAttachedAgainByItsId) {
  int streams = 0;
  v1::ConverseRequest second_open;
  ScriptedServer server([&](ServerStream& stream) {
    const v1::ConverseRequest open = Receive(stream);
    if (++streams == 1) {
      SendOpened(stream, "abc");
      return grpc::Status(grpc::StatusCode::UNAVAILABLE, "shutting down");
    }
    second_open = open;
    SendOpened(stream, "abc", /*resumed=*/true);
    return grpc::Status::OK;
  });
  SessionClient client(server.address());
  ASSERT_TRUE(client.Open({}).ok());
  ASSERT_FALSE(client.Turn(TextTurn("x"), Ignore).ok());
  v1::Open open;
  open.set_session_id("abc");

  const auto opened = client.Open(open);

  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_TRUE(opened->resumed());
  EXPECT_EQ(second_open.open().session_id(), "abc");
}

TEST(SessionClientTest, CancelFromAnotherThreadEndsTheTurn) {
  ScriptedServer server([](ServerStream& stream) {
    Receive(stream);
    SendOpened(stream, "abc");
    Receive(stream);
    SendDelta(stream, "on and on");
    const bool cancelled = Receive(stream).has_cancel();
    SendTurnDone(stream, cancelled ? v1::FINISH_REASON_CANCELLED : v1::FINISH_REASON_LENGTH);
    return grpc::Status::OK;
  });
  SessionClient client(server.address());
  ASSERT_TRUE(client.Open({}).ok());
  std::promise<void> speaking;
  std::thread canceller([&] {
    speaking.get_future().wait();
    client.Cancel();
  });

  const auto done = client.Turn(TextTurn("x"), [&](const auto&) { speaking.set_value(); });
  canceller.join();

  ASSERT_TRUE(done.ok()) << done.status();
  EXPECT_EQ(done->finish_reason(), v1::FINISH_REASON_CANCELLED);
}

TEST(SessionClientTest, AbandonEndsATurnThatTheServerDoesNot) {
  ScriptedServer server([](ServerStream& stream) {
    Receive(stream);
    SendOpened(stream, "abc");
    Receive(stream);
    SendDelta(stream, "stuck");
    Receive(stream);  // returns when the client drops the stream
    return grpc::Status::OK;
  });
  SessionClient client(server.address());
  ASSERT_TRUE(client.Open({}).ok());
  std::promise<void> speaking;
  std::thread abandoner([&] {
    speaking.get_future().wait();
    client.Abandon();
  });

  const auto done = client.Turn(TextTurn("x"), [&](const auto&) { speaking.set_value(); });
  abandoner.join();

  EXPECT_EQ(done.status().code(), absl::StatusCode::kCancelled);
  EXPECT_FALSE(client.Attached());
}

TEST(SessionClientTest, CloseAsksForTheEndOfTheSessionAndLeaveDoesNot) {
  std::vector<std::string> endings;
  ScriptedServer server([&](ServerStream& stream) {
    Receive(stream);
    SendOpened(stream, "abc");
    endings.push_back(Receive(stream).has_close() ? "close" : "half-close");
    return grpc::Status::OK;
  });
  SessionClient client(server.address());
  ASSERT_TRUE(client.Open({}).ok());
  EXPECT_TRUE(client.Close().ok());
  EXPECT_FALSE(client.Attached());
  ASSERT_TRUE(client.Open({}).ok());
  EXPECT_TRUE(client.Leave().ok());
  EXPECT_FALSE(client.Attached());

  EXPECT_THAT(endings, ElementsAre("close", "half-close"));
}

TEST(SessionClientTest, CloseSaysThatNothingFollowsAndReadsUntilTheEnd) {
  bool half_closed = false;
  ScriptedServer server([&](ServerStream& stream) {
    Receive(stream);
    SendOpened(stream, "abc");
    if (Receive(stream).has_close()) SendDelta(stream, "of a reply that was running");
    v1::ConverseRequest nothing;
    half_closed = !stream.Read(&nothing);
    return grpc::Status::OK;
  });
  SessionClient client(server.address());
  ASSERT_TRUE(client.Open({}).ok());

  EXPECT_EQ(client.Close(), absl::OkStatus());
  EXPECT_TRUE(half_closed);
}

TEST(SessionClientTest, OpenCloseAndLeaveEndWhereTheServerNeverAnswers) {
  bool opens = false;
  ScriptedServer server([&](ServerStream& stream, grpc::ServerContext& context) {
    if (opens) {
      Receive(stream);
      SendOpened(stream, "abc");
    }
    return HoldUntilDropped(stream, context);
  });
  const ClientPatience little = {.open = absl::Milliseconds(50), .end = absl::Milliseconds(50)};
  SessionClient impatient(server.address(), little);
  EXPECT_EQ(impatient.Open({}).status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_FALSE(impatient.Attached());

  opens = true;
  SessionClient client(server.address(), {.end = absl::Milliseconds(50)});
  ASSERT_TRUE(client.Open({}).ok());
  EXPECT_EQ(client.Close().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_FALSE(client.Attached());
  ASSERT_TRUE(client.Open({}).ok());
  EXPECT_EQ(client.Leave().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_FALSE(client.Attached());
}

// Takes one connection as an HTTP/2 server does, and never says anything again: a network that has
// gone silent.
class SilentServer {
 public:
  SilentServer() {
    greeting_ = std::thread([this] {
      connection_ = accept(listening_.descriptor(), nullptr, nullptr);
      constexpr std::array<char, 9> kEmptySettings = {0, 0, 0, 4, 0, 0, 0, 0, 0};
      EXPECT_EQ(write(connection_, kEmptySettings.data(), kEmptySettings.size()), 9);
    });
  }
  ~SilentServer() {
    greeting_.join();
    close(connection_);
  }
  const std::string& address() const { return listening_.address(); }

 private:
  const ListeningSocket listening_;
  int connection_ = -1;
  std::thread greeting_;
};

TEST(SessionClientTest, ASilentNetworkIsNoticed) {
  SilentServer server;
  SessionClient client(server.address(), {.open = absl::Minutes(5),
                                          .ping_interval = absl::Milliseconds(20),
                                          .ping_answer = absl::Milliseconds(20)});
  const absl::Status status = client.Open({}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
}

TEST(SessionClientTest, WaitsUntilTheServerSaysServing) {
  ScriptedServer server(Echo);
  server.SetServing(false);
  SessionClient client(server.address());
  EXPECT_THAT(client.WaitForServing(absl::Milliseconds(100)).ToString(),
              HasSubstr("it says NOT_SERVING"));
  auto waiting =
      std::async(std::launch::async, [&] { return client.WaitForServing(absl::Minutes(1)); });
  server.SetServing(true);
  EXPECT_EQ(waiting.get(), absl::OkStatus());
}

TEST(SessionClientTest, AbandonEndsTheWaitForAServer) {
  ScriptedServer not_serving(Echo);
  not_serving.SetServing(false);
  for (const std::string& address : {not_serving.address(), std::string("127.0.0.1:1")}) {
    SessionClient client(address);
    auto waiting =
        std::async(std::launch::async, [&] { return client.WaitForServing(absl::Minutes(1)); });
    while (waiting.wait_for(std::chrono::milliseconds(1)) != std::future_status::ready) {
      client.Abandon();  // again, as the wait may not have begun
    }
    EXPECT_EQ(waiting.get().code(), absl::StatusCode::kCancelled);
  }
}

TEST(SessionClientTest, WaitingForAServerThatIsNotThereEnds) {
  SessionClient client("127.0.0.1:1");
  const absl::Status status = client.WaitForServing(absl::Milliseconds(100));
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(status.ToString(), HasSubstr("not ready after 100ms"));
}

}  // namespace
}  // namespace sinkstream
