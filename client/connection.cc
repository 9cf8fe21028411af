#include "client/connection.h"

#include <grpcpp/support/client_interceptor.h>

#include <utility>
#include <vector>

namespace sinkstream {
namespace {

int Milliseconds(absl::Duration duration) {
  return static_cast<int>(absl::ToInt64Milliseconds(duration));
}

std::shared_ptr<grpc::ChannelCredentials> ChannelCredentials(const Credentials& credentials) {
  if (credentials.roots.empty()) return grpc::InsecureChannelCredentials();
  return grpc::SslCredentials({credentials.roots, credentials.key, credentials.certificate});
}

// gRPC's own way to send a token refuses a connection without encryption, as that to loopback is.
// LoadCredentials refuses those to anywhere else.
class TokenSender final : public grpc::experimental::Interceptor {
 public:
  explicit TokenSender(const std::string& header) : header_(header) {}
  void Intercept(grpc::experimental::InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(
            grpc::experimental::InterceptionHookPoints::PRE_SEND_INITIAL_METADATA)) {
      methods->GetSendInitialMetadata()->insert({"authorization", header_});
    }
    methods->Proceed();
  }

 private:
  const std::string& header_;  // the factory's, which outlives it
};

class TokenSenderFactory final : public grpc::experimental::ClientInterceptorFactoryInterface {
 public:
  explicit TokenSenderFactory(const std::string& token) : header_("Bearer " + token) {}
  grpc::experimental::Interceptor* CreateClientInterceptor(
      grpc::experimental::ClientRpcInfo*) override {
    return new TokenSender(header_);
  }

 private:
  const std::string header_;
};

}  // namespace

std::shared_ptr<grpc::Channel> Connect(const std::string& server, const ClientPatience& patience,
                                       const Credentials& credentials) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, Milliseconds(patience.ping_interval));
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, Milliseconds(patience.ping_answer));
  // By default gRPC sends two pings in a pause of the conversation and no more.
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  // A server that is just starting is met soon after its port opens.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetMaxReceiveMessageSize(-1);
  // A proxy of the environment (http_proxy and the like) would read what is not encrypted, tokens
  // too, and at the addresses of this machine it reaches another one.
  if (IsLocal(server) || credentials.roots.empty()) arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  std::vector<std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>> interceptors;
  if (!credentials.token.empty()) {
    interceptors.push_back(std::make_unique<TokenSenderFactory>(credentials.token));
  }
  return grpc::experimental::CreateCustomChannelWithInterceptors(
      server, ChannelCredentials(credentials), arguments, std::move(interceptors));
}

}  // namespace sinkstream
