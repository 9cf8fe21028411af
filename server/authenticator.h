// Authenticator: who makes a call. With tokens it is the principal of the call's bearer token;
// else, where clients show certificates, the name in theirs; else nobody in particular, "".
#pragma once

#include <grpcpp/grpcpp.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/port_security.h"

namespace sinkstream {

class Authenticator {
 public:
  // Null: everybody may make calls. `security` outlives this.
  explicit Authenticator(const PortSecurity* security) : security_(security) {}

  // Any thread. UNAUTHENTICATED: a token is asked for, and the call has none or a wrong one.
  absl::StatusOr<std::string> Principal(const grpc::ServerContextBase& context) const;

 private:
  const PortSecurity* const security_;
};

// `authorizations`: the values of the call's `authorization` headers.
absl::StatusOr<std::string> PrincipalOf(const std::vector<absl::string_view>& authorizations,
                                        const BearerTokens& tokens);

}  // namespace sinkstream
