#include "server/lifecycle.h"

#include <gtest/gtest.h>

#include <thread>

#include "grpc/health/v1/health.grpc.pb.h"
#include "tests/server/chat_server.h"

namespace sinkstream {
namespace {

using grpc::StatusCode;
using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

constexpr char kService[] = "sinkstream.v1.ChatService";

HealthCheckRequest About(const std::string& service) {
  HealthCheckRequest request;
  request.set_service(service);
  return request;
}

TEST(Lifecycle, HealthSaysServingOfTheServerAndTheService) {
  ChatServer server;
  const auto health = grpc::health::v1::Health::NewStub(server.channel());
  for (const std::string service : {"", kService}) {
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

TEST(Lifecycle, ReflectionListsTheService) {
  ChatServer server;
  RawCall call(server, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo");
  call.Write(std::string("\x3a\x00", 2));  // ServerReflectionRequest{list_services: ""}
  EXPECT_NE(call.Read().find(kService), std::string::npos);
}

TEST(Lifecycle, AWatchSeesTheDrainWhileARequestStillRuns) {
  ChatServer server;
  const auto health = grpc::health::v1::Health::NewStub(server.channel());
  grpc::ClientContext context;
  SetDeadline(context);
  const auto watch = health->Watch(&context, About(kService));
  HealthCheckResponse response;
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), HealthCheckResponse::SERVING);
  Conversation chat(server);
  chat.Open();
  server.gate().Close();
  chat.Send("turn { text: 'hi' }");
  server.gate().AwaitArrival();
  std::thread drain([&] { server.lifecycle().Drain(absl::Hours(1)); });
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), HealthCheckResponse::NOT_SERVING);
  server.gate().Open();
  EXPECT_EQ(chat.ReadAnswer().text, "hello");
  EXPECT_EQ(chat.Finish().error_code(), StatusCode::UNAVAILABLE);
  drain.join();
}

TEST(Lifecycle, ADrainingServerTakesNoNewSession) {
  ChatServer server;
  Conversation running(server);
  running.Open();
  server.gate().Close();
  running.Send("turn { text: 'hi' }");
  server.gate().AwaitArrival();
  const auto health = grpc::health::v1::Health::NewStub(server.channel());
  grpc::ClientContext context;
  SetDeadline(context);
  const auto watch = health->Watch(&context, About(""));
  HealthCheckResponse response;
  ASSERT_TRUE(watch->Read(&response));
  std::thread drain([&] { server.lifecycle().Drain(absl::Hours(1)); });
  while (response.status() == HealthCheckResponse::SERVING) ASSERT_TRUE(watch->Read(&response));
  Conversation late(server);
  late.Send("open {}");
  server.gate().Open();
  EXPECT_EQ(late.Finish().error_code(), StatusCode::UNAVAILABLE);
  running.Finish();
  drain.join();
}

TEST(Lifecycle, ADrainWithoutEndWaitsForTheRunningTurn) {
  ChatServer server;
  Conversation chat(server);
  chat.Open();
  server.gate().Close();
  chat.Send("turn { text: 'hi' }");
  server.gate().AwaitArrival();
  const auto health = grpc::health::v1::Health::NewStub(server.channel());
  grpc::ClientContext context;
  SetDeadline(context);
  const auto watch = health->Watch(&context, About(""));
  std::thread drain([&] { server.lifecycle().Drain(absl::InfiniteDuration()); });
  HealthCheckResponse response;
  do {
    ASSERT_TRUE(watch->Read(&response));
  } while (response.status() == HealthCheckResponse::SERVING);
  context.TryCancel();
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
  EXPECT_EQ(chat.Finish().error_code(), StatusCode::UNAVAILABLE);
}

TEST(Lifecycle, AHurryCutsTheDrainShort) {
  ChatServerOptions options = SmallSessions();
  options.model.next = HashOfVisible;
  options.engine.limits.max_tokens = 1 << 30;
  ChatServer server(options);
  Conversation chat(server);
  chat.Open();
  chat.Send("turn { text: 'talk' sampling { max_tokens: 1000000000 } }");
  EXPECT_TRUE(chat.Read()->has_delta());
  std::thread drain([&] { server.lifecycle().Drain(absl::Hours(1)); });
  server.activity().Hurry();
  EXPECT_EQ(chat.Finish().error_code(), StatusCode::UNAVAILABLE);
  drain.join();
}

TEST(Lifecycle, AClientThatDoesNotReadDoesNotHoldUpTheEnd) {
  ChatServerOptions options = SmallSessions();
  options.model.next = HashOfVisible;
  options.engine.limits.max_tokens = 1 << 30;
  ChatServer server(options);
  Conversation chat(server);
  chat.Open();
  chat.Send("turn { text: 'talk' sampling { top_logprobs: 20 max_tokens: 1000000000 } }");
  server.observer().Await([](const PoolStats&, int pauses) { return pauses > 0; });
  server.lifecycle().Drain(absl::ZeroDuration());
}

TEST(Lifecycle, APortInUseIsRefused) {
  ChatServer first;
  EngineActivity activity(stderr);
  FakeClock clock;
  const ChatServerOptions small = SmallSessions();
  auto engine =
      Engine::Create(small.engine, std::make_unique<FakeModel>(small.model),
                     std::make_unique<FakeTokenizer>(), FakeChatFormat(), activity, clock);
  ASSERT_TRUE(engine.ok()) << engine.status();
  ListenOptions listen;
  listen.address = first.lifecycle().Address();
  const auto second = ServerLifecycle::Start(listen, **engine, activity);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(second.status().message().find(listen.address), std::string::npos);
}

}  // namespace
}  // namespace sinkstream
