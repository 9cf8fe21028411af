#include "server/process/lifecycle.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/impl/server_builder_option.h>
#include <grpcpp/impl/server_builder_plugin.h>
#include <grpcpp/resource_quota.h>

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/errors.h"
#include "server/config.h"
#include "server/listen_address.h"
#include "server/process/grpc_log.h"
#include "server/process/memory_limit.h"
#include "server/security/tls_credentials.h"

namespace sinkstream {
namespace {

constexpr absl::Duration kKeepaliveTime = absl::Seconds(60);
constexpr absl::Duration kKeepaliveTimeout = absl::Seconds(20);
constexpr absl::Duration kMinPingInterval = absl::Seconds(10);
// Of one connection beside its streams: unary calls, health, reflection, and streams that are about
// to hear that there are too many, which would wait unheard otherwise.
constexpr int kCallsBesideStreams = 64;

int Milliseconds(absl::Duration duration) {
  return static_cast<int>(absl::ToInt64Milliseconds(duration));
}

void SetChannelArguments(const ListenOptions& options, int64_t most_streams,
                         grpc::ServerBuilder& builder) {
  // Two servers on one port would share its clients at random.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, Milliseconds(kKeepaliveTime));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, Milliseconds(kKeepaliveTimeout));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             Milliseconds(kMinPingInterval));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS,
                             static_cast<int>(most_streams) + kCallsBesideStreams);
  // A compressed message would be inflated before it is measured: whoever sends one gets
  // UNIMPLEMENTED.
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_DEFLATE, false);
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_GZIP, false);
  builder.SetMaxReceiveMessageSize(static_cast<int>(options.service.max_message_bytes));
  builder.SetResourceQuota(grpc::ResourceQuota("sinkstream").Resize(kGrpcMemory));
}

std::shared_ptr<grpc::ServerCredentials> Credentials(const PortSecurity* security) {
  const bool encrypts = security != nullptr && security->Tls() != nullptr;
  return encrypts ? TlsCredentials(*security) : grpc::InsecureServerCredentials();
}

// gRPC's reflection adds itself to every server of a process that links it.
class WithoutReflection final : public grpc::ServerBuilderOption {
 public:
  void UpdateArguments(grpc::ChannelArguments*) override {}
  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>* plugins) override {
    std::erase_if(*plugins,
                  [](const auto& plugin) { return plugin->name() == "proto_server_reflection"; });
  }
};

}  // namespace

absl::StatusOr<std::unique_ptr<ServerLifecycle>> ServerLifecycle::Start(
    const ListenOptions& options, const Parts& parts) {
  std::unique_ptr<ServerLifecycle> lifecycle(new ServerLifecycle(options, parts));
  if (absl::Status status = lifecycle->Listen(options); !status.ok()) return status;
  return lifecycle;
}

absl::Status ServerLifecycle::Listen(const ListenOptions& options) {
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  if (!options.reflection) builder.SetOption(std::make_unique<WithoutReflection>());
  int port = 0;
  credentials_ = Credentials(options.security);
  builder.AddListeningPort(options.address, credentials_, &port);
  SetChannelArguments(options, environment_.streams.most(), builder);
  builder.RegisterService(&chat_service_);
  builder.RegisterService(&score_service_);
  server_ = builder.BuildAndStart();
  if (server_ == nullptr || port == 0) {
    const std::string reason = WhyNotListen(options.address);
    return absl::UnavailableError(
        absl::StrCat("cannot listen on ", options.address, ": ",
                     reason.empty() ? "gRPC refused, the system allows it now" : reason));
  }
  address_ = absl::StrCat(HostOf(options.address), ":", port);
  parts_.readiness.Started();
  TellHealth();
  health_ticker_ = std::make_unique<Ticker>(options.tick, [this] { TellHealth(); });
  if (options.security != nullptr) {
    files_ticker_ = std::make_unique<Ticker>(
        options.tick, [security = options.security] { security->Refresh(); });
  }
  return absl::OkStatus();
}

ServerLifecycle::~ServerLifecycle() {
  if (server_ != nullptr) Drain(absl::ZeroDuration());
}

void ServerLifecycle::TellHealth() {
  MutexLock lock(health_mutex_);
  LookForDeafness();
  const bool serving = parts_.readiness.Current() == Readiness::State::kReady;
  // Who watches is told each time, changed or not.
  if (std::exchange(told_serving_, serving) == serving) return;
  grpc::HealthCheckServiceInterface* health = server_->GetHealthCheckService();
  health->SetServingStatus(serving);
  health->SetServingStatus(v1::ChatService::service_full_name(), serving);
  health->SetServingStatus(v1::ScoreService::service_full_name(), serving);
}

void ServerLifecycle::LookForDeafness() {
  if (told_deaf_) return;
  const auto why = WhyPortIsDeaf();
  if (!why) return;
  told_deaf_ = true;
  parts_.readiness.LosePort();
  parts_.on_deaf(*why);
}

void ServerLifecycle::Drain(absl::Duration timeout) {
  // A clock that counts nanoseconds cannot tell a time much further away.
  const absl::Duration bounded = std::clamp(timeout, absl::ZeroDuration(), kMaxDrainTimeout);
  const auto deadline = std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(bounded);
  // First: who has seen NOT_SERVING gets no session any more.
  parts_.engine.StartDraining(bounded);
  parts_.readiness.StartDraining();
  TellHealth();
  parts_.activity.WaitUntilDrained(deadline);
  environment_.streams.EndAll(ShuttingDown());
  parts_.activity.WaitUntilStreamsEnd(deadline);
  server_->Shutdown(std::chrono::system_clock::now() + absl::ToChronoNanoseconds(kFarewell));
  server_->Wait();
  health_ticker_.reset();
  files_ticker_.reset();
  server_.reset();
}

}  // namespace sinkstream
