#include "server/security/port_security.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/security/small_file.h"

namespace sinkstream {
namespace {

absl::StatusOr<BearerTokens> LoadTokens(const std::string& path) {
  const auto text = ReadSmallFile(path);
  if (!text.ok()) return text.status();
  return BearerTokens::Parse(*text, path);
}

std::vector<std::string> Paths(const TlsFiles& files) {
  std::vector<std::string> paths = {files.certificate, files.key};
  if (!files.client_ca.empty()) paths.push_back(files.client_ca);
  return paths;
}

}  // namespace

PortSecurity::PortSecurity(SecurityFiles files, Notice notice)
    : files_(std::move(files)), notice_(std::move(notice)) {
  if (!files_.tls.certificate.empty()) {
    tls_ = std::make_unique<FileBacked<TlsMaterial>>(Paths(files_.tls),
                                                     [this] { return LoadUsableTls(); });
  }
  if (!files_.auth_tokens.empty()) {
    tokens_ = std::make_unique<FileBacked<BearerTokens>>(
        std::vector<std::string>{files_.auth_tokens},
        [this] { return LoadTokens(files_.auth_tokens); });
  }
}

absl::StatusOr<std::unique_ptr<PortSecurity>> PortSecurity::Load(const SecurityFiles& files,
                                                                 Notice notice) {
  std::unique_ptr<PortSecurity> security(new PortSecurity(files, std::move(notice)));
  if (absl::Status status = security->RefreshTls(); !status.ok()) return status;
  if (absl::Status status = security->RefreshTokens(); !status.ok()) return status;
  security->started_ = true;
  return security;
}

void PortSecurity::Refresh() {
  for (const absl::Status& status : {RefreshTls(), RefreshTokens()}) {
    if (status.ok()) continue;
    notice_(LogLevel::kError,
            absl::StrCat("what was there before stays in force: ", std::string(status.message())));
  }
}

absl::StatusOr<TlsMaterial> PortSecurity::LoadUsableTls() const {
  auto material = LoadTls(files_.tls);
  if (started_ && material.ok() && !material->warning.empty()) {
    return absl::InvalidArgumentError(material->warning);
  }
  return material;
}

absl::Status PortSecurity::RefreshTls() {
  if (!tls_) return absl::OkStatus();
  const auto fresh = tls_->Refresh();
  if (!fresh.ok() || !*fresh) return fresh.status();
  if (started_) {
    notice_(LogLevel::kInfo,
            absl::StrCat(files_.tls.certificate, ": the new certificate is in force"));
  }
  Warn(tls_->Get()->warning);
  Warn(OpenToOthers(files_.tls.key));
  return absl::OkStatus();
}

absl::Status PortSecurity::RefreshTokens() {
  if (!tokens_) return absl::OkStatus();
  const auto fresh = tokens_->Refresh();
  if (!fresh.ok() || !*fresh) return fresh.status();
  if (started_) {
    notice_(LogLevel::kInfo, absl::StrCat(files_.auth_tokens, ": the new tokens are in force"));
  }
  Warn(OpenToOthers(files_.auth_tokens));
  return absl::OkStatus();
}

void PortSecurity::Warn(const std::string& warning) const {
  if (!warning.empty()) notice_(LogLevel::kWarning, warning);
}

}  // namespace sinkstream
