#include "server/process/lifecycle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_split.h"
#include "google/rpc/error_details.pb.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "tests/server/chat_server.h"

namespace sinkstream {
namespace {

using grpc::StatusCode;
using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;
using testing::Contains;

constexpr char kService[] = "sinkstream.v1.ChatService";
constexpr char kScoreService[] = "sinkstream.v1.ScoreService";

HealthCheckRequest About(const std::string& service) {
  HealthCheckRequest request;
  request.set_service(service);
  return request;
}

// Of a google.rpc.Status's RetryInfo; 0: it has none.
int64_t RetrySeconds(const std::string& details) {
  google::rpc::Status status;
  google::rpc::RetryInfo retry;
  EXPECT_TRUE(status.ParseFromString(details));
  for (const auto& detail : status.details()) detail.UnpackTo(&retry);
  return retry.retry_delay().seconds();
}

constexpr char kEndlessTurn[] = "turn { text: 'talk' sampling { max_tokens: 1000000000 } }";

ChatServerOptions Endless() {
  ChatServerOptions options = SmallSessions();
  options.model.next = HashOfVisible;
  options.engine.limits.max_tokens = 1 << 30;
  return options;
}

TEST(Lifecycle, HealthSaysServingOfTheServerAndItsServices) {
  ChatServer server;
  const auto health = grpc::health::v1::Health::NewStub(server.channel());
  for (const std::string service : {"", kService, kScoreService}) {
    grpc::ClientContext context;
    HealthCheckResponse response;
    ASSERT_TRUE(health->Check(&context, About(service), &response).ok());
    EXPECT_EQ(response.status(), HealthCheckResponse::SERVING);
  }
  grpc::ClientContext context;
  HealthCheckResponse response;
  EXPECT_EQ(health->Check(&context, About("another"), &response).error_code(),
            StatusCode::NOT_FOUND);
}

TEST(Lifecycle, ThereIsNoReflectionUnlessItIsAskedFor) {
  ChatServer server;
  RawCall call(server, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo");
  EXPECT_EQ(call.Finish().error_code(), StatusCode::UNIMPLEMENTED);
}

TEST(Lifecycle, ReflectionListsTheServices) {
  ChatServerOptions options = SmallSessions();
  options.reflection = true;
  ChatServer server(options);
  RawCall call(server, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo");
  call.Write(std::string("\x3a\x00", 2));  // ServerReflectionRequest{list_services: ""}
  const std::string services = call.Read();
  EXPECT_NE(services.find(kService), std::string::npos);
  EXPECT_NE(services.find(kScoreService), std::string::npos);
}

// Watches the health of the server, for whoever must know that its drain has begun.
class Watch {
 public:
  explicit Watch(ChatServer& server, const std::string& service = "")
      : stub_(grpc::health::v1::Health::NewStub(server.channel())) {
    SetDeadline(context_);
    reader_ = stub_->Watch(&context_, About(service));
    EXPECT_EQ(Next(), HealthCheckResponse::SERVING);
  }
  void AwaitDrain() {
    EXPECT_EQ(Next(), HealthCheckResponse::NOT_SERVING);
    context_.TryCancel();
  }
  // The next change.
  HealthCheckResponse::ServingStatus Next() {
    HealthCheckResponse response;
    EXPECT_TRUE(reader_->Read(&response));
    return response.status();
  }

 private:
  std::unique_ptr<grpc::health::v1::Health::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<HealthCheckResponse>> reader_;
};

TEST(Lifecycle, HealthSaysNotServingWhileAStepIsStuck) {
  ChatServer server;
  Watch watch(server);
  server.gate().Close();
  Conversation chat(server);
  chat.Open();
  chat.Send("turn { text: 'hi' }");
  server.gate().AwaitArrival();
  server.clock().Advance(ChatServer::kStuckStepLimit + absl::Seconds(1));
  EXPECT_EQ(watch.Next(), HealthCheckResponse::NOT_SERVING);
  server.gate().Open();
  EXPECT_EQ(chat.ReadAnswer().text, "hello");
  EXPECT_EQ(watch.Next(), HealthCheckResponse::SERVING);
}

TEST(Lifecycle, AWatchSeesTheDrainWhileARequestStillRuns) {
  ChatServer server;
  Watch watch(server, kService);
  Conversation chat(server);
  chat.Open();
  server.gate().Close();
  chat.Send("turn { text: 'hi' }");
  server.gate().AwaitArrival();
  std::thread drain([&] { server.lifecycle().Drain(absl::Hours(1)); });
  watch.AwaitDrain();
  server.gate().Open();
  EXPECT_EQ(chat.ReadAnswer().text, "hello");
  EXPECT_EQ(chat.Finish().error_code(), StatusCode::UNAVAILABLE);
  drain.join();
}

TEST(Lifecycle, ADrainingServerTakesNoNewSessionAndGivesNoOldOneBack) {
  ChatServer server(Endless());
  Conversation running(server);
  running.Open();
  running.Send(kEndlessTurn);
  EXPECT_TRUE(running.Read()->has_delta());
  Conversation left(server);
  const std::string id = left.Open().session_id();
  Watch watch(server);
  std::thread drain([&] { server.lifecycle().Drain(absl::Hours(1)); });
  watch.AwaitDrain();
  for (const std::string& fields : {std::string(), "session_id: '" + id + "'"}) {
    Conversation late(server);
    late.Send("open { " + fields + " }");
    EXPECT_FALSE(late.Read().has_value()) << "opened";
    const grpc::Status status = late.Finish();
    EXPECT_EQ(status.error_code(), StatusCode::UNAVAILABLE);
    EXPECT_EQ(status.error_message(), "the server is shutting down");
    EXPECT_EQ(RetrySeconds(status.error_details()), 1);
  }
  const std::vector<std::string> metrics = absl::StrSplit(server.metrics().Text(), '\n');
  EXPECT_THAT(metrics,
              Contains("sinkstream_admission_rejections_total{reason=\"shutting_down\"} 2"));
  EXPECT_TRUE(running.Read().has_value()) << "a running turn goes on";
  server.activity().Hurry();
  running.Finish();
  drain.join();
}

TEST(Lifecycle, AStreamIsToldHowLongItsTurnHas) {
  ChatServer server(Endless());
  Conversation chat(server);
  chat.Open();
  chat.Send(kEndlessTurn);
  EXPECT_TRUE(chat.Read()->has_delta());
  std::thread drain([&] { server.lifecycle().Drain(absl::Hours(1)); });
  auto response = chat.Read();
  while (response && !response->has_go_away()) response = chat.Read();
  ASSERT_TRUE(response.has_value()) << "the stream ended unannounced";
  EXPECT_EQ(response->go_away().time_left().seconds(), 3600);
  while (response && !response->has_delta()) response = chat.Read();
  EXPECT_TRUE(response.has_value()) << "the turn goes on";
  server.activity().Hurry();
  const grpc::Status end = chat.Finish();
  EXPECT_EQ(end.error_code(), StatusCode::UNAVAILABLE);
  EXPECT_EQ(RetrySeconds(end.error_details()), 1);
  drain.join();
}

TEST(Lifecycle, ARequestThatComesAfterTheDrainHasBegunIsRefused) {
  ChatServer server(Endless());
  Watch watch(server);
  Conversation running(server);
  running.Open();
  running.Send(kEndlessTurn);
  EXPECT_TRUE(running.Read()->has_delta());
  Conversation idle(server);
  idle.Open();
  std::thread drain([&] { server.lifecycle().Drain(absl::Hours(1)); });
  watch.AwaitDrain();
  const Answer answer = idle.Ask("turn { request_id: 5 text: 'hi' }");
  ASSERT_TRUE(answer.failed.has_value());
  EXPECT_EQ(answer.failed->request_id(), 5);
  EXPECT_EQ(answer.failed->status().code(), StatusCode::UNAVAILABLE);
  EXPECT_EQ(RetrySeconds(answer.failed->status().SerializeAsString()), 1);
  server.activity().Hurry();
  drain.join();
}

TEST(Lifecycle, ATurnThatTheEngineHasNotTakenUpIsAnsweredBeforeTheEnd) {
  ChatServer server;
  Watch watch(server);
  Conversation chat(server);
  chat.Open();
  server.observer().gate().Close();
  chat.Send("cancel {}");  // cancels nothing: makes a round, should none be on its way to the gate
  server.observer().gate().AwaitArrival();
  chat.Send("turn { text: 'hi' }");
  chat.Send("turn {}");
  EXPECT_TRUE(chat.Read()->has_failed()) << "the server has handled both, the engine neither";
  std::thread drain([&] { server.lifecycle().Drain(absl::Hours(1)); });
  watch.AwaitDrain();
  server.observer().gate().Open();
  EXPECT_EQ(chat.ReadAnswer().text, "hello");
  EXPECT_EQ(chat.Finish().error_code(), StatusCode::UNAVAILABLE);
  drain.join();
}

TEST(Lifecycle, ADrainWithoutEndWaitsForTheRunningTurn) {
  ChatServer server;
  Watch watch(server);
  Conversation chat(server);
  chat.Open();
  server.gate().Close();
  chat.Send("turn { text: 'hi' }");
  server.gate().AwaitArrival();
  std::thread drain([&] { server.lifecycle().Drain(absl::InfiniteDuration()); });
  watch.AwaitDrain();
  server.gate().Open();
  EXPECT_EQ(chat.ReadAnswer().text, "hello");
  EXPECT_EQ(chat.Finish().error_code(), StatusCode::UNAVAILABLE);
  drain.join();
}

TEST(Lifecycle, IdleStreamsAreToldAtOnce) {
  ChatServer server;
  Conversation chat(server);
  chat.Open();
  server.lifecycle().Drain(absl::Hours(1));
  EXPECT_TRUE(chat.Read()->has_go_away());
  EXPECT_EQ(chat.Finish().error_code(), StatusCode::UNAVAILABLE);
}

TEST(Lifecycle, AHurryCutsTheDrainShort) {
  ChatServer server(Endless());
  Conversation chat(server);
  chat.Open();
  chat.Send(kEndlessTurn);
  EXPECT_TRUE(chat.Read()->has_delta());
  std::thread drain([&] { server.lifecycle().Drain(absl::Hours(1)); });
  server.activity().Hurry();
  EXPECT_EQ(chat.Finish().error_code(), StatusCode::UNAVAILABLE);
  drain.join();
}

// A turn that is done, and of which more waits for its reader than the connection holds.
void TalkWithoutReading(ChatServer& server, Conversation& chat) {
  chat.Open();
  chat.Send(
      "turn { text: 'talk' sampling { top_logprobs: 20 max_tokens: 2000 ignore_end_of_turn: true "
      "} }");
  server.observer().Await([](const PoolStats& pool, int) { return pool.running_requests == 1; });
  server.observer().Await([](const PoolStats& pool, int) { return pool.running_requests == 0; });
}

ChatServerOptions Talkative() {
  ChatServerOptions options = SmallSessions();
  options.engine.limits.outbox_capacity = 1 << 20;  // no pause
  options.model.next = HashOfVisible;
  return options;
}

TEST(Lifecycle, AReaderGetsTheLastEventsOfADrain) {
  ChatServer server(Talkative());
  Watch watch(server);
  Conversation chat(server);
  TalkWithoutReading(server, chat);
  std::thread drain([&] { server.lifecycle().Drain(absl::Hours(1)); });
  watch.AwaitDrain();
  EXPECT_EQ(chat.ReadAnswer().tokens.size(), 2000u);
  EXPECT_EQ(chat.Finish().error_code(), StatusCode::UNAVAILABLE);
  drain.join();
}

TEST(Lifecycle, AReaderHasTheWholeTimeoutForThem) {
  ChatServer server(Talkative());
  Conversation chat(server);
  TalkWithoutReading(server, chat);
  const auto begun = std::chrono::steady_clock::now();
  server.lifecycle().Drain(1.5 * ServerLifecycle::kFarewell);
  EXPECT_GE(std::chrono::steady_clock::now() - begun,
            absl::ToChronoNanoseconds(1.5 * ServerLifecycle::kFarewell));
}

TEST(Lifecycle, AClientThatDoesNotReadDoesNotHoldUpTheEnd) {
  ChatServer server(Endless());
  Conversation chat(server);
  chat.Open();
  chat.Send("turn { text: 'talk' sampling { top_logprobs: 20 max_tokens: 1000000000 } }");
  server.observer().Await([](const PoolStats&, int pauses) { return pauses > 0; });
  server.lifecycle().Drain(absl::ZeroDuration());
}

TEST(Lifecycle, APortInUseIsRefused) {
  ChatServer first;
  EngineActivity activity;
  FakeClock clock;
  MetricStore store;
  ServiceMetrics metrics(store, clock);
  Readiness readiness(clock, absl::Seconds(60));
  const ChatServerOptions small = SmallSessions();
  auto engine =
      Engine::Create(small.engine, std::make_unique<FakeModel>(small.model),
                     std::make_unique<FakeTokenizer>(), FakeChatFormat(), activity, clock);
  ASSERT_TRUE(engine.ok()) << engine.status();
  ListenOptions listen;
  listen.address = first.lifecycle().Address();
  const auto second = ServerLifecycle::Start(
      listen, {**engine, activity, readiness, metrics, [](const absl::Status&) {}});
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(second.status().message(),
            "cannot listen on " + listen.address + ": Address already in use");
}

}  // namespace
}  // namespace sinkstream
