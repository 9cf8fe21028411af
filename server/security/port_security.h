// PortSecurity: what guards the server's port: encryption, and who may use it. Both come from files
// that are read again when they change, so that certificates and tokens are replaced without a
// restart.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "server/security/bearer_tokens.h"
#include "server/security/file_backed.h"
#include "server/security/tls_material.h"
#include "server/telemetry/log_writer.h"

namespace sinkstream {

struct SecurityFiles {
  TlsFiles tls;             // no certificate: no encryption
  std::string auth_tokens;  // empty: no token is asked for
};

class PortSecurity {
 public:
  // Told what an operator should know of the files. Called by Load and Refresh.
  using Notice = std::function<void(LogLevel, const std::string& about)>;

  // INVALID_ARGUMENT, naming the file and what is wrong; of a certificate that has expired or is
  // not valid yet there is a warning alone. What `notice` uses outlives this.
  static absl::StatusOr<std::unique_ptr<PortSecurity>> Load(const SecurityFiles& files,
                                                            Notice notice);

  // Reads what has changed; a file that is wrong is logged once, and what was there before stays.
  // One thread at a time.
  void Refresh();

  // Any thread. False while a file is wrong, and what was there before it is in force.
  bool IsCurrent() const {
    return (!tls_ || tls_->IsCurrent()) && (!tokens_ || tokens_->IsCurrent());
  }

  // Any thread. Null: no encryption; everybody may use the server.
  std::shared_ptr<const TlsMaterial> Tls() const { return tls_ ? tls_->Get() : nullptr; }
  std::shared_ptr<const BearerTokens> Tokens() const { return tokens_ ? tokens_->Get() : nullptr; }

 private:
  PortSecurity(SecurityFiles files, Notice notice);
  // One whose dates are wrong does not replace another.
  absl::StatusOr<TlsMaterial> LoadUsableTls() const;
  absl::Status RefreshTls();
  absl::Status RefreshTokens();
  void Warn(const std::string& warning) const;

  const SecurityFiles files_;
  const Notice notice_;
  bool started_ = false;
  std::unique_ptr<FileBacked<TlsMaterial>> tls_;      // null: none
  std::unique_ptr<FileBacked<BearerTokens>> tokens_;  // null: none
};

}  // namespace sinkstream
