#include "server/security/tls_credentials.h"

#include <grpc/grpc.h>
#include <grpc/grpc_security.h>

#include <memory>
#include <string>

#include "engine/sync.h"

namespace sinkstream {
namespace {

// gRPC's C++ interface reads certificates from files by itself, but a pair that does not match
// leaves it without any; its C interface asks for them at each handshake (docs/adr/0012).
class ReloadingCredentials final : public grpc::ServerCredentials {
 public:
  explicit ReloadingCredentials(const PortSecurity& security) : security_(security) {
    const auto request = security.Tls()->client_roots.empty()
                             ? GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE
                             : GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY;
    credentials_.reset(grpc_ssl_server_credentials_create_with_options(
        grpc_ssl_server_credentials_create_options_using_config_fetcher(request, &Fetch, this)));
  }

  // Calls are authenticated by Authenticator, which works without encryption too.
  void SetAuthMetadataProcessor(const std::shared_ptr<grpc::AuthMetadataProcessor>&) override {}

 private:
  struct Release {
    void operator()(grpc_server_credentials* credentials) const {
      grpc_server_credentials_release(credentials);
    }
  };

  int AddPortToServer(const std::string& address, grpc_server* server) override {
    return grpc_server_add_http2_port(server, address.c_str(), credentials_.get());
  }

  static grpc_ssl_certificate_config_reload_status Fetch(
      void* self, grpc_ssl_server_certificate_config** config) {
    return static_cast<ReloadingCredentials*>(self)->Fetch(*config);
  }

  grpc_ssl_certificate_config_reload_status Fetch(grpc_ssl_server_certificate_config*& config) {
    auto newest = security_.Tls();
    MutexLock lock(mutex_);
    if (newest == given_) return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
    given_ = std::move(newest);
    const grpc_ssl_pem_key_cert_pair pair{given_->key.c_str(), given_->certificates.c_str()};
    // gRPC wants some roots even where it asks no client for a certificate.
    const bool asks = !given_->client_roots.empty();
    const std::string& roots = asks ? given_->client_roots : given_->certificates;
    config = grpc_ssl_server_certificate_config_create(roots.c_str(), &pair, 1);
    return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
  }

  const PortSecurity& security_;
  std::unique_ptr<grpc_server_credentials, Release> credentials_;
  Mutex mutex_;
  std::shared_ptr<const TlsMaterial> given_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

std::shared_ptr<grpc::ServerCredentials> TlsCredentials(const PortSecurity& security) {
  return std::make_shared<ReloadingCredentials>(security);
}

}  // namespace sinkstream
