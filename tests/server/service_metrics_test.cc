// What calls of clients do to the metrics and the log of a whole server.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "sinkstream/v1/score.grpc.pb.h"
#include "tests/server/chat_server.h"

namespace sinkstream {
namespace {

using testing::Contains;
using testing::IsSupersetOf;

std::vector<std::string> Lines(ChatServer& server) {
  return absl::StrSplit(server.metrics().Text(), '\n');
}

TEST(ServiceMetrics, ATurnMovesTheCountersAsItsClientSawIt) {
  ChatServer server;
  Conversation chat(server);
  chat.Open();
  const Answer answer = chat.Ask("turn { text: 'hi' }");
  ASSERT_TRUE(answer.done.has_value());
  chat.Send("close {}");
  EXPECT_TRUE(chat.Finish().ok());
  server.observer().Await([](const PoolStats& pool, int) { return pool.sessions == 0; });
  const auto& usage = answer.done->usage();
  const auto line = [](const std::string& name, int64_t value) {
    return name + " " + std::to_string(value);
  };
  EXPECT_THAT(
      Lines(server),
      IsSupersetOf(
          {std::string("sinkstream_turns_total{finish_reason=\"end_of_turn\"} 1"),
           line("sinkstream_prompt_tokens_total", usage.prompt_tokens()),
           line("sinkstream_generated_tokens_total", usage.generated_tokens()),
           std::string("sinkstream_time_to_first_token_seconds_count 1"),
           line("sinkstream_inter_token_latency_seconds_count", usage.generated_tokens() - 1),
           std::string("sinkstream_turn_duration_seconds_count 1"),
           std::string("sinkstream_sessions_opened_total 1"),
           std::string("sinkstream_sessions_closed_total{reason=\"client\"} 1"),
           std::string("sinkstream_sessions{state=\"attached\"} 0"),
           std::string("sinkstream_outbound_events 0"), std::string("sinkstream_streams_limit 320"),
           std::string("sinkstream_sessions_limit 256")}));
}

TEST(ServiceMetrics, ASessionWithoutARequestIsAttachedAndThenIdle) {
  ChatServer server;
  {
    Conversation chat(server);
    chat.Open();
    server.observer().Await([](const PoolStats& pool, int) { return pool.attached_sessions == 1; });
    EXPECT_THAT(Lines(server),
                IsSupersetOf({"sinkstream_sessions{state=\"attached\"} 1",
                              "sinkstream_sessions{state=\"idle\"} 0", "sinkstream_streams 1"}));
  }
  server.observer().Await([](const PoolStats& pool, int) { return pool.attached_sessions == 0; });
  EXPECT_THAT(Lines(server), IsSupersetOf({"sinkstream_sessions{state=\"attached\"} 0",
                                           "sinkstream_sessions{state=\"idle\"} 1"}));
}

TEST(ServiceMetrics, WhatIsRefusedIsCountedWhereItWasTold) {
  ChatServer server;
  Conversation chat(server);
  chat.Open();
  EXPECT_TRUE(chat.Ask("turn { text: '' }").failed.has_value());
  EXPECT_TRUE(chat.Ask("turn { text: 'hi' sampling { temperature: -1 } }").failed.has_value());
  chat.Send("open {}");
  EXPECT_EQ(chat.Finish().error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(
      Lines(server),
      IsSupersetOf({"sinkstream_messages_rejected_total{reason=\"invalid\"} 1",
                    "sinkstream_messages_rejected_total{reason=\"out_of_turn\"} 1",
                    "sinkstream_errors_total{scope=\"request\",code=\"INVALID_ARGUMENT\"} 2",
                    "sinkstream_errors_total{scope=\"stream\",code=\"FAILED_PRECONDITION\"} 1",
                    "sinkstream_turns_total{finish_reason=\"error\"} 0"}));
}

TEST(ServiceMetrics, AMessageThatDoesNotParseIsMalformed) {
  ChatServer server;
  RawCall call(server, "/sinkstream.v1.ChatService/Converse");
  call.Write("\xff\xff\xff");
  EXPECT_EQ(call.Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(Lines(server),
              Contains("sinkstream_messages_rejected_total{reason=\"malformed\"} 1"));
}

TEST(ServiceMetrics, SoIsOneOfAnyOtherCall) {
  ChatServer server;
  for (const char* method :
       {"ScoreService/Score", "ChatService/Tokenize", "ChatService/Detokenize"}) {
    RawCall call(server, std::string("/sinkstream.v1.") + method);
    call.Write("\xff\xff\xff");
    EXPECT_EQ(call.Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT) << method;
  }
  EXPECT_THAT(Lines(server),
              IsSupersetOf({"sinkstream_messages_rejected_total{reason=\"malformed\"} 3",
                            "sinkstream_messages_rejected_total{reason=\"invalid\"} 0"}));
}

TEST(ServiceMetrics, AFailedScoreIsOneError) {
  ChatServer server;
  server.model().GiveNaNNextStep();
  const auto score = v1::ScoreService::NewStub(server.channel());
  grpc::ClientContext context;
  SetDeadline(context);
  v1::ScoreRequest request;
  request.set_text("hello");
  const auto reader = score->Score(&context, request);
  v1::ScoreResponse response;
  while (reader->Read(&response)) {
  }
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::INTERNAL);
  EXPECT_THAT(Lines(server),
              IsSupersetOf({"sinkstream_errors_total{scope=\"request\",code=\"INTERNAL\"} 1",
                            "sinkstream_errors_total{scope=\"stream\",code=\"INTERNAL\"} 0"}));
}

TEST(ServiceMetrics, ARefusedSessionIsCountedByItsReason) {
  ChatServerOptions options = SmallSessions();
  options.engine.limits.max_sessions = 1;
  ChatServer server(options);
  Conversation first(server);
  first.Open();
  Conversation second(server);
  second.Send("open {}");
  EXPECT_EQ(second.Finish().error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(
      Lines(server),
      IsSupersetOf({"sinkstream_admission_rejections_total{reason=\"max_sessions\"} 1",
                    "sinkstream_errors_total{scope=\"stream\",code=\"RESOURCE_EXHAUSTED\"} 1"}));
}

TEST(ServiceMetrics, AUnaryCallsErrorIsCounted) {
  ChatServer server;
  grpc::ClientContext context;
  SetDeadline(context);
  v1::TokenizeResponse response;
  server.stub().Tokenize(&context, v1::TokenizeRequest(), &response);
  EXPECT_THAT(Lines(server),
              Contains("sinkstream_errors_total{scope=\"call\",code=\"INVALID_ARGUMENT\"} 1"));
}

TEST(ServiceMetrics, LogitsThatAreNoNumbersAreCounted) {
  ChatServer server;
  Conversation chat(server);
  chat.Open();
  server.model().GiveNaNNextStep();
  EXPECT_TRUE(chat.Ask("turn { text: 'hi' }").failed.has_value());
  EXPECT_EQ(chat.Ask("turn { text: 'hi' }").text, "hello");
  EXPECT_THAT(Lines(server),
              IsSupersetOf({"sinkstream_nonfinite_logits_total 1",
                            "sinkstream_turns_total{finish_reason=\"error\"} 1",
                            "sinkstream_errors_total{scope=\"request\",code=\"INTERNAL\"} 1"}));
}

TEST(ServiceMetrics, ALineOfATurnCarriesTheTraceOfItsCall) {
  int pipe[2] = {-1, -1};
  ASSERT_EQ(pipe2(pipe, O_CLOEXEC), 0);
  ChatServerOptions options = SmallSessions();
  options.log = {.fd = pipe[1], .level = LogLevel::kInfo};
  std::string line;
  {
    ChatServer server(options);
    const auto ask = [&](const std::string& parent) {
      Conversation chat(server, "", parent);
      const std::string id = chat.Open().session_id();
      EXPECT_EQ(chat.Ask("turn { text: 'hi' request_id: 7 }").text, "hello");
      line.clear();
      for (char c = 0; read(pipe[0], &c, 1) == 1 && c != '\n';) line += c;
      const auto logged = nlohmann::json::parse(line);
      EXPECT_EQ(logged["session"], id.substr(0, 8));
      EXPECT_EQ(logged["request_id"], 7);
      EXPECT_EQ(line.find("hello"), std::string::npos) << "what was said is not logged";
      return logged;
    };
    const auto traced = ask("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    EXPECT_EQ(traced["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    EXPECT_EQ(traced["parent_span_id"], "00f067aa0ba902b7");
    EXPECT_FALSE(ask("00-not-a-trace").contains("trace_id"));
  }
  close(pipe[0]);
  close(pipe[1]);
}

}  // namespace
}  // namespace sinkstream
