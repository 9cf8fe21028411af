// ChatServer: a whole server in the test's process, over the fake model and a port of its own.
// Conversation: one Converse call against it, blocking, with a deadline that a hanging server runs
// into.
#pragma once

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "engine/engine.h"
#include "engine/sync.h"
#include "server/metrics/engine_metrics.h"
#include "server/metrics/service_metrics.h"
#include "server/process/activity.h"
#include "server/process/lifecycle.h"
#include "server/process/readiness.h"
#include "server/telemetry/log_writer.h"
#include "server/telemetry/observers.h"
#include "server/telemetry/request_log.h"
#include "sinkstream/v1/chat.grpc.pb.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/fake_model.h"

namespace sinkstream {

// Holds the engine thread back until it is opened. Any thread.
class Gate {
 public:
  void Pass();  // waits while closed
  void Close();
  void Open();
  // Waits until somebody waits at the closed gate.
  void AwaitArrival();

 private:
  Mutex mutex_;
  CondVar changed_;
  bool open_ ABSL_GUARDED_BY(mutex_) = true;
  int waiting_ ABSL_GUARDED_BY(mutex_) = 0;
};

// Keeps what tests wait for. Engine thread, but for Await.
class WatchingObserver final : public EngineObserver {
 public:
  void OnPool(const PoolStats& stats) override;
  void OnPaused() override;

  // Waits until `wanted` holds of the pool, or of the number of pauses so far.
  void Await(const std::function<bool(const PoolStats&, int pauses)>& wanted);
  // Holds the engine back where it has told the pool, between two commands.
  Gate& gate() { return gate_; }

 private:
  Gate gate_;
  Mutex mutex_;
  CondVar changed_;
  PoolStats pool_ ABSL_GUARDED_BY(mutex_);
  int pauses_ ABSL_GUARDED_BY(mutex_) = 0;
};

struct ChatServerOptions {
  FakeModel::Options model;
  EngineOptions engine;
  std::function<std::unique_ptr<Tokenizer>()> make_tokenizer = [] {
    return std::make_unique<FakeTokenizer>();
  };
  ServiceOptions service;
  PortSecurity* security = nullptr;  // outlives the server
  bool reflection = false;
  // Of the client.
  std::shared_ptr<grpc::ChannelCredentials> credentials = grpc::InsecureChannelCredentials();
  LogWriter::Options log = {.level = LogLevel::kWarning};  // its fd outlives the server
};

// Options with a small default session (2 sinks, a window of 64), greedy.
ChatServerOptions SmallSessions();

class ChatServer {
 public:
  static constexpr absl::Duration kStuckStepLimit = absl::Seconds(60);

  explicit ChatServer(ChatServerOptions options = SmallSessions());
  // Every call against it has ended, or ends now.
  ~ChatServer();

  std::shared_ptr<grpc::Channel> channel() { return channel_; }
  // Another client, with a connection of its own.
  std::shared_ptr<grpc::Channel> Connect(
      const std::shared_ptr<grpc::ChannelCredentials>& credentials);
  v1::ChatService::Stub& stub() { return *stub_; }
  Gate& gate() { return gate_; }
  FakeModel& model() { return *model_; }
  WatchingObserver& observer() { return observer_; }
  EngineActivity& activity() { return activity_; }
  FakeClock& clock() { return clock_; }
  MetricStore& metrics() { return metrics_; }
  ServerLifecycle& lifecycle() { return *lifecycle_; }

 private:
  Gate gate_;
  FakeClock clock_;
  MetricStore metrics_;
  LogWriter log_;
  RequestLog request_log_{log_};
  EngineActivity activity_;
  EngineMetrics engine_metrics_{metrics_};
  ServiceMetrics service_metrics_{metrics_, clock_};
  Readiness readiness_{clock_, kStuckStepLimit};
  WatchingObserver observer_;
  // What a test waits for is told last: the server has heard of it then.
  EngineObservers observers_{
      {&activity_, &readiness_, &engine_metrics_, &request_log_, &observer_}};
  FakeModel* model_ = nullptr;  // the engine's
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<ServerLifecycle> lifecycle_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::ChatService::Stub> stub_;
};

// What a turn or an append came to.
struct Answer {
  std::string text;
  std::vector<int32_t> tokens;
  int deltas = 0;
  std::optional<v1::TurnDone> done;
  std::optional<v1::AppendDone> appended;
  std::optional<v1::RequestFailed> failed;
};

class Conversation {
 public:
  // `token`: sent as a bearer token; empty: none. `trace_parent`: sent as it is; empty: none.
  explicit Conversation(ChatServer& server, const std::string& token = "",
                        const std::string& trace_parent = "");
  ~Conversation();  // cancels the call if it has not ended

  // Requests from protobuf's text format: `turn { text: 'hi' }`.
  void Send(const std::string& request);
  void HalfClose() { stream_->WritesDone(); }
  void Disconnect() { context_.TryCancel(); }
  void AwaitInitialMetadata() { stream_->WaitForInitialMetadata(); }

  // Absent: the stream has ended.
  std::optional<v1::ConverseResponse> Read();
  // Reads up to `opened`; fails the test if the first answer is something else.
  v1::Opened Open(const std::string& fields = "");
  // Reads up to the next turn_done, append_done or failed.
  Answer ReadAnswer();
  Answer Ask(const std::string& request);
  // Reads to the end, and how it ended.
  grpc::Status Finish();

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::ConverseRequest, v1::ConverseResponse>> stream_;
  bool finished_ = false;
};

// A call whose messages are bytes.
class RawCall {
 public:
  RawCall(ChatServer& server, const std::string& method);
  ~RawCall();
  void Write(const std::string& bytes);
  std::string Read();
  v1::ConverseResponse ReadResponse();
  grpc::Status Finish();

 private:
  void Wait();

  grpc::ClientContext context_;
  grpc::CompletionQueue queue_;
  grpc::GenericStub stub_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> call_;
};

// Sets a deadline that no passing test comes near.
void SetDeadline(grpc::ClientContext& context);

}  // namespace sinkstream
