#include "server/security/authenticator.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"

namespace sinkstream {
namespace {

constexpr char kHeader[] = "authorization";

std::vector<absl::string_view> Authorizations(const grpc::ServerContextBase& context) {
  std::vector<absl::string_view> values;
  const auto [begin, end] = context.client_metadata().equal_range(kHeader);
  for (auto header = begin; header != end; ++header) {
    values.emplace_back(header->second.data(), header->second.size());
  }
  return values;
}

// So that no other names, joined, are the same.
void AppendEscaped(std::string* joined, const grpc::string_ref& name) {
  absl::StrAppend(joined, absl::StrReplaceAll(absl::string_view(name.data(), name.size()),
                                              {{"\\", "\\\\"}, {",", "\\,"}}));
}

absl::StatusOr<std::string> CertificateName(const grpc::ServerContextBase& context) {
  const auto peer = context.auth_context();
  std::string name;
  if (peer != nullptr && peer->IsPeerAuthenticated()) {
    name = absl::StrJoin(peer->GetPeerIdentity(), ",", AppendEscaped);
  }
  if (name.empty()) {
    return absl::UnauthenticatedError(
        "certificate: has neither a subject alternative name nor a common name");
  }
  if (name.size() > Authenticator::kMostCertificateNameBytes) {
    return absl::UnauthenticatedError(absl::StrCat("certificate: its names take ", name.size(),
                                                   " bytes; at most ",
                                                   Authenticator::kMostCertificateNameBytes));
  }
  return name;
}

}  // namespace

absl::StatusOr<std::string> Authenticator::Principal(const grpc::ServerContextBase& context) const {
  if (security_ == nullptr) return "";
  if (const auto tokens = security_->Tokens()) return PrincipalOf(Authorizations(context), *tokens);
  const auto tls = security_->Tls();
  if (tls == nullptr || tls->client_roots.empty()) return "";
  return CertificateName(context);
}

absl::StatusOr<std::string> PrincipalOf(const std::vector<absl::string_view>& authorizations,
                                        const BearerTokens& tokens) {
  if (authorizations.size() != 1) {
    return absl::UnauthenticatedError(authorizations.empty()
                                          ? "authorization: is missing; must be `Bearer TOKEN`"
                                          : "authorization: is there more than once");
  }
  const absl::string_view token = BearerToken(authorizations.front());
  if (token.empty()) return absl::UnauthenticatedError("authorization: must be `Bearer TOKEN`");
  std::string principal = tokens.PrincipalOf(token);
  if (principal.empty()) return absl::UnauthenticatedError("authorization: no such token");
  return principal;
}

}  // namespace sinkstream
