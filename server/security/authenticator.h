// Authenticator: who makes a call. With tokens it is the principal of the call's bearer token;
// else, where clients show certificates, the names in theirs, joined by commas (those in a name are
// escaped by a backslash); else nobody in particular, "".
#pragma once

#include <grpcpp/grpcpp.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/security/port_security.h"

namespace sinkstream {

class Authenticator {
 public:
  static constexpr size_t kMostCertificateNameBytes = 1024;  // of all names in a certificate

  // Null: everybody may make calls. `security` outlives this.
  explicit Authenticator(const PortSecurity* security) : security_(security) {}

  // Any thread. UNAUTHENTICATED: a token is asked for, and the call has none or a wrong one; or a
  // certificate is, and the client's has no name or too many.
  absl::StatusOr<std::string> Principal(const grpc::ServerContextBase& context) const;

 private:
  const PortSecurity* const security_;
};

// `authorizations`: the values of the call's `authorization` headers.
absl::StatusOr<std::string> PrincipalOf(const std::vector<absl::string_view>& authorizations,
                                        const BearerTokens& tokens);

}  // namespace sinkstream
