#include "tests/server/chat_server.h"

#include <google/protobuf/text_format.h>
#include <grpc/grpc.h>
#include <gtest/gtest.h>

#include <chrono>
#include <utility>

namespace sinkstream {
namespace {

// gRPC's threads end before the process: LeakSanitizer once found what OpenSSL had kept for one
// that its clean-up at exit had overtaken.
class GrpcEnds : public testing::Environment {
  void TearDown() override {
    grpc_init();
    grpc_shutdown_blocking();
  }
};
[[maybe_unused]] const testing::Environment* const grpc_ends =
    testing::AddGlobalTestEnvironment(new GrpcEnds);

}  // namespace

void Gate::Pass() {
  MutexLock lock(mutex_);
  ++waiting_;
  changed_.NotifyAll();
  while (!open_) changed_.Wait(mutex_);
  --waiting_;
}

void Gate::Close() {
  MutexLock lock(mutex_);
  open_ = false;
}

void Gate::Open() {
  MutexLock lock(mutex_);
  open_ = true;
  changed_.NotifyAll();
}

void Gate::AwaitArrival() {
  MutexLock lock(mutex_);
  while (open_ || waiting_ == 0) changed_.Wait(mutex_);
}

void WatchingObserver::OnPool(const PoolStats& stats) {
  {
    MutexLock lock(mutex_);
    pool_ = stats;
    changed_.NotifyAll();
  }
  gate_.Pass();
}

void WatchingObserver::OnPaused() {
  MutexLock lock(mutex_);
  ++pauses_;
  changed_.NotifyAll();
}

void WatchingObserver::Await(const std::function<bool(const PoolStats&, int pauses)>& wanted) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  MutexLock lock(mutex_);
  while (!wanted(pool_, pauses_)) {
    changed_.WaitUntil(mutex_, deadline);
    ASSERT_LT(std::chrono::steady_clock::now(), deadline) << "what a test waits for never came";
  }
}

ChatServerOptions SmallSessions() {
  ChatServerOptions options;
  options.engine.defaults.sinks = 2;
  options.engine.defaults.window = 64;
  options.engine.defaults.sampling.temperature = 0;
  options.engine.limits.step_tokens = 32;
  options.engine.limits.prefill_chunk = 16;
  options.engine.limits.max_prefills_per_step = 2;
  options.model.num_blocks = 4096;
  options.model.next = Saying("hello");
  return options;
}

ChatServer::ChatServer(ChatServerOptions options) : log_(options.log, metrics_) {
  auto model = std::make_unique<FakeModel>(options.model);
  model->on_step = [this] { gate_.Pass(); };
  model_ = model.get();
  auto engine = Engine::Create(options.engine, std::move(model), options.make_tokenizer(),
                               FakeChatFormat(), observers_, clock_);
  EXPECT_TRUE(engine.ok()) << engine.status();
  engine_ = *std::move(engine);
  engine_metrics_.Describe(*engine_);
  ListenOptions listen;
  listen.service = options.service;
  listen.security = options.security;
  listen.reflection = options.reflection;
  listen.tick = absl::Milliseconds(5);
  const auto on_error = [this](const absl::Status& error) { request_log_.InternalError(error); };
  auto lifecycle =
      ServerLifecycle::Start(listen, {*engine_, activity_, readiness_, service_metrics_, on_error});
  EXPECT_TRUE(lifecycle.ok()) << lifecycle.status();
  lifecycle_ = *std::move(lifecycle);
  channel_ = Connect(options.credentials);
  stub_ = v1::ChatService::NewStub(channel_);
}

std::shared_ptr<grpc::Channel> ChatServer::Connect(
    const std::shared_ptr<grpc::ChannelCredentials>& credentials) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);  // what a client does not read stays small
  return grpc::CreateCustomChannel(lifecycle_->Address(), credentials, arguments);
}

ChatServer::~ChatServer() { gate_.Open(); }

void SetDeadline(grpc::ClientContext& context) {
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
}

Conversation::Conversation(ChatServer& server, const std::string& token,
                           const std::string& trace_parent) {
  SetDeadline(context_);
  if (!token.empty()) context_.AddMetadata("authorization", "Bearer " + token);
  if (!trace_parent.empty()) context_.AddMetadata("traceparent", trace_parent);
  stream_ = server.stub().Converse(&context_);
}

Conversation::~Conversation() {
  if (finished_) return;
  context_.TryCancel();
  Finish();
}

void Conversation::Send(const std::string& request) {
  v1::ConverseRequest message;
  ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(request, &message)) << request;
  stream_->Write(message);  // false: the call has ended, which Finish tells
}

std::optional<v1::ConverseResponse> Conversation::Read() {
  v1::ConverseResponse response;
  if (!stream_->Read(&response)) return std::nullopt;
  return response;
}

v1::Opened Conversation::Open(const std::string& fields) {
  Send("open { " + fields + " }");
  const auto response = Read();
  EXPECT_TRUE(response.has_value() && response->has_opened());
  return response.has_value() ? response->opened() : v1::Opened();
}

Answer Conversation::ReadAnswer() {
  Answer answer;
  while (const auto response = Read()) {
    if (response->has_delta()) {
      ++answer.deltas;
      answer.text += response->delta().text();
      answer.tokens.insert(answer.tokens.end(), response->delta().token_ids().begin(),
                           response->delta().token_ids().end());
    }
    if (response->has_turn_done()) answer.done = response->turn_done();
    if (response->has_append_done()) answer.appended = response->append_done();
    if (response->has_failed()) answer.failed = response->failed();
    if (answer.done || answer.appended || answer.failed) return answer;
  }
  ADD_FAILURE() << "the stream ended before the answer";
  return answer;
}

Answer Conversation::Ask(const std::string& request) {
  Send(request);
  return ReadAnswer();
}

grpc::Status Conversation::Finish() {
  while (Read().has_value()) {
  }
  finished_ = true;
  return stream_->Finish();
}

RawCall::RawCall(ChatServer& server, const std::string& method) : stub_(server.channel()) {
  SetDeadline(context_);
  call_ = stub_.PrepareCall(&context_, method, &queue_);
  call_->StartCall(nullptr);
  Wait();
}

RawCall::~RawCall() {
  context_.TryCancel();
  queue_.Shutdown();
  void* tag = nullptr;
  bool ok = false;
  while (queue_.Next(&tag, &ok)) {
  }
}

void RawCall::Write(const std::string& bytes) {
  const grpc::Slice slice(bytes);
  call_->Write(grpc::ByteBuffer(&slice, 1), nullptr);
  Wait();
}

std::string RawCall::Read() {
  grpc::ByteBuffer bytes;
  call_->Read(&bytes, nullptr);
  Wait();
  if (!bytes.Valid()) return "";
  grpc::Slice slice;
  return bytes.DumpToSingleSlice(&slice).ok()
             ? std::string(reinterpret_cast<const char*>(slice.begin()), slice.size())
             : "";
}

v1::ConverseResponse RawCall::ReadResponse() {
  v1::ConverseResponse response;
  EXPECT_TRUE(response.ParseFromString(Read()));
  return response;
}

grpc::Status RawCall::Finish() {
  grpc::Status status;
  call_->Finish(&status, nullptr);
  Wait();
  return status;
}

void RawCall::Wait() {
  void* tag = nullptr;
  bool ok = false;
  EXPECT_TRUE(queue_.Next(&tag, &ok));
}

}  // namespace sinkstream
