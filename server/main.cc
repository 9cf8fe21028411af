// sinkstream-server: flags, model, engine, service, in the order in which they are made.
#include <google/protobuf/stubs/logging.h>
#include <malloc.h>
#include <systemd/sd-daemon.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

#include "absl/synchronization/notification.h"
#include "engine/clock.h"
#include "engine/engine.h"
#include "engine/text/chat_format_json.h"
#include "engine/text/tokenizer_json.h"
#include "engine/torch/model_file.h"
#include "server/config.h"
#include "server/flags.h"
#include "server/process/activity.h"
#include "server/process/descriptors.h"
#include "server/process/grpc_log.h"
#include "server/process/lifecycle.h"
#include "server/process/readiness.h"
#include "server/process/start_facts.h"
#include "server/process/stop_signals.h"
#include "server/process/ticker.h"
#include "server/security/port_security.h"
#include "server/telemetry/observers.h"
#include "server/telemetry/ops_server.h"
#include "server/telemetry/telemetry.h"

namespace sinkstream {
namespace {

// How long the end may take beyond the drain: its farewell of a second, and the step at hand.
constexpr absl::Duration kLastPatience = absl::Seconds(6);

int Fail(const std::string& problem) {
  std::fflush(stdout);  // the facts of the start come before what went wrong
  std::fprintf(stderr, "sinkstream-server: error: %s\n", problem.c_str());
  return EXIT_FAILURE;
}

int Fail(const absl::Status& status) { return Fail(std::string(status.message())); }

// Protobuf's own log repeats what clients are told already.
void TakeLibrariesLogs() {
  TakeGrpcLog();
  google::protobuf::SetLogHandler(nullptr);
}

TorchModelOptions ModelOptions(const ServerConfig& config) {
  TorchModelOptions options;
  options.kv_bytes = config.kv_bytes;
  if (config.kv_dtype == "float32") options.kv_dtype = KvDtype::kFloat32;
  if (config.kv_dtype == "bfloat16") options.kv_dtype = KvDtype::kBfloat16;
  if (config.kv_dtype == "int8") options.kv_dtype = KvDtype::kInt8;
  options.threads = config.threads;
  options.isa = config.isa;
  return options;
}

absl::StatusOr<std::unique_ptr<Engine>> MakeEngine(const ServerConfig& config, ModelFile file,
                                                   EngineObserver& observer, const Clock& clock) {
  auto tokenizer = ParseTokenizer(file.tokenizer_json);
  if (!tokenizer.ok()) return tokenizer.status();
  auto chat_format = ParseChatFormat(file.chat_format_json, file.model->Spec().vocab_size);
  if (!chat_format.ok()) return chat_format.status();
  return Engine::Create(config.engine, std::move(file.model), *std::move(tokenizer),
                        *std::move(chat_format), observer, clock);
}

// The operators' port, if there is to be one: null else.
absl::StatusOr<std::unique_ptr<OpsServer>> StartOps(const ServerConfig& config,
                                                    Telemetry& telemetry,
                                                    const Readiness& readiness) {
  if (config.metrics_listen.empty()) return nullptr;
  auto ops = OpsServer::Start(config.metrics_listen,
                              {telemetry.metrics, telemetry.log,
                               [&readiness] { return std::string(Name(readiness.Current())); }});
  if (!ops.ok()) return ops.status();
  std::printf("metrics on %s\n", (*ops)->Address().c_str());
  std::fflush(stdout);
  return ops;
}

// What signals act on, which come at any moment: it outlives their thread.
class Process {
 public:
  Process(const ServerConfig& config, const Clock& clock) : config_(config), clock_(clock) {}

  // Once, before anything is logged, and behind StopSignals.
  Telemetry& StartTelemetry() {
    const LogLevel level = ParseLogLevel(config_.log_level).value_or(LogLevel::kInfo);
    telemetry_ = std::make_unique<Telemetry>(level, clock_);
    logs_ = true;
    return *telemetry_;
  }

  // The signals' thread.
  void OnSignal(int count) {
    // Loading cannot be interrupted, and nobody is served yet.
    if (!listening) {
      if (logs_) telemetry_->log.Flush();
      std::_Exit(EXIT_SUCCESS);
    }
    if (count > 2) std::_Exit(EXIT_FAILURE);
    EndWithin(kLastPatience + (count == 1 ? config_.drain_timeout : absl::ZeroDuration()));
    count == 1 ? stop.Notify() : activity.Hurry();
  }

  absl::Notification stop;
  EngineActivity activity;
  std::atomic<bool> listening{false};

 private:
  // A step that never ends holds the engine's thread, and nothing can interrupt it.
  void EndWithin(absl::Duration patience) {
    last_resort_.emplace(patience, [this] {
      telemetry_->log.Write(
          LogLevel::kError, "not_stopped",
          {{"message", "a model step does not end; the process ends without it"}});
      telemetry_->log.Flush();
      std::_Exit(EXIT_FAILURE);
    });
  }

  const ServerConfig& config_;
  const Clock& clock_;
  std::atomic<bool> logs_{false};  // telemetry_ is there
  std::unique_ptr<Telemetry> telemetry_;
  std::optional<Ticker> last_resort_;  // last: it logs
};

absl::StatusOr<std::unique_ptr<ServerLifecycle>> Listen(const ServerConfig& config,
                                                        PortSecurity& security, Engine& engine,
                                                        Readiness& readiness, Telemetry& telemetry,
                                                        Process& process) {
  const ListenOptions listen{.address = config.listen,
                             .service = {.max_message_bytes = config.max_message_bytes},
                             .security = &security,
                             .reflection = config.reflection};
  const auto on_deaf = [&log = telemetry.log](const std::string& why) {
    log.Write(LogLevel::kError, "port_deaf",
              {{"message", "no connection is accepted any more; only a restart helps: " + why}});
  };
  auto server = ServerLifecycle::Start(
      listen,
      {engine, process.activity, readiness, telemetry.service_metrics,
       [&](const absl::Status& error) { telemetry.request_log.InternalError(error); }, on_deaf});
  if (!server.ok()) return server;
  process.listening = true;
  std::printf("listening on %s\n", (*server)->Address().c_str());
  std::fflush(stdout);
  // For a unit of Type=notify; without one, nobody hears it.
  sd_notify(/*unset_environment=*/0, "READY=1");
  return server;
}

int Serve(const ServerConfig& config) {
  const MonotonicClock clock;
  Process process(config, clock);
  const StopSignals signals([&](int count) { process.OnSignal(count); });
  Telemetry& telemetry = process.StartTelemetry();
  Readiness readiness(clock, config.stuck_step_limit);
  const auto security =
      PortSecurity::Load(config.security, [&](LogLevel level, const std::string& about) {
        telemetry.log.Write(level, "security", {{"message", about}});
      });
  if (!security.ok()) return Fail(security.status());
  telemetry.Watch(readiness);
  telemetry.Watch(**security);
  const auto ops = StartOps(config, telemetry, readiness);
  if (!ops.ok()) return Fail(ops.status());
  auto file = LoadModelFile(config.model, ModelOptions(config));
  if (!file.ok()) return Fail(file.status());
  EngineObservers observers(
      {&process.activity, &readiness, &telemetry.engine_metrics, &telemetry.request_log});
  const auto engine = MakeEngine(config, *std::move(file), observers, clock);
  if (!engine.ok()) return Fail(engine.status());
  malloc_trim(0);  // reading a tokenizer leaves some 20 MiB behind
  telemetry.Describe(**engine);
  std::fputs(StartFacts(**engine).c_str(), stdout);
  const auto server = Listen(config, **security, **engine, readiness, telemetry, process);
  if (!server.ok()) return Fail(server.status());
  process.stop.WaitForNotification();
  sd_notify(/*unset_environment=*/0, "STOPPING=1");
  (*server)->Drain(config.drain_timeout);
  return EXIT_SUCCESS;
}

}  // namespace
}  // namespace sinkstream

int main(int argc, char* argv[]) {
  sinkstream::OpenStandardDescriptors();
  sinkstream::RaiseFileLimit();
  std::signal(SIGPIPE, SIG_IGN);  // who reads its output may go
  const auto config = sinkstream::ParseCommandLine(argc, argv);
  if (!config.has_value()) return EXIT_SUCCESS;
  const auto faults = sinkstream::Validate(*config);
  for (const std::string& fault : faults) sinkstream::Fail(fault);
  if (!faults.empty()) return EXIT_FAILURE;
  sinkstream::TakeLibrariesLogs();
  return sinkstream::Serve(*config);
}
