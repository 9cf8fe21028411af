#include "client/credentials.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace sinkstream {
namespace {

constexpr size_t kMostFileBytes = size_t{1} << 20;

absl::Status Fault(const std::string& where, const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat(where, ": ", what));
}

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return Fault(path, std::strerror(errno));
  std::string content(kMostFileBytes + 1, '\0');
  file.read(content.data(), static_cast<std::streamsize>(content.size()));
  if (file.bad()) return Fault(path, std::strerror(errno));
  content.resize(static_cast<size_t>(file.gcount()));
  if (content.size() > kMostFileBytes) {
    return Fault(path, absl::StrCat("is longer than ", kMostFileBytes, " bytes"));
  }
  return content;
}

// Nothing if `path` is empty.
absl::StatusOr<std::string> ReadPem(const std::string& path, const std::string& label,
                                    const std::string& what) {
  if (path.empty()) return std::string();
  auto pem = ReadFile(path);
  if (pem.ok() && !absl::StrContains(*pem, label)) {
    return Fault(path, absl::StrCat("holds no ", what, " in PEM form"));
  }
  return pem;
}

absl::StatusOr<std::string> ReadToken(const std::string& path) {
  auto content = ReadFile(path);
  if (!content.ok()) return content;
  const std::string token(absl::StripAsciiWhitespace(*content));
  if (token.empty()) return Fault(path, "holds no token");
  const bool plain = std::all_of(token.begin(), token.end(),
                                 [](unsigned char c) { return absl::ascii_isgraph(c); });
  if (!plain) return Fault(path, "must hold one token and nothing else");
  return token;
}

absl::Status CheckTogether(const CredentialFiles& files) {
  if (files.tls_certificate.empty() && files.tls_key.empty()) return absl::OkStatus();
  if (files.tls_key.empty()) return Fault("--tls-key", "is empty; --tls-certificate needs it");
  if (files.tls_certificate.empty()) {
    return Fault("--tls-certificate", "is empty; --tls-key needs it");
  }
  if (files.tls_ca.empty()) return Fault("--tls-ca", "is empty; --tls-certificate needs it");
  return absl::OkStatus();
}

}  // namespace

bool IsLocal(const std::string& server) {
  if (absl::StartsWith(server, "unix:")) return true;
  std::string host = server.substr(0, server.rfind(':'));
  for (const char* scheme : {"dns:///", "dns:", "ipv4:", "ipv6:"}) {
    if (absl::StartsWith(host, scheme)) host.erase(0, std::strlen(scheme));
  }
  if (absl::EqualsIgnoreCase(host, "localhost")) return true;
  if (host.size() > 1 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  in_addr four = {};
  if (inet_pton(AF_INET, host.c_str(), &four) == 1) return (ntohl(four.s_addr) >> 24) == 127;
  in6_addr six = {};
  return inet_pton(AF_INET6, host.c_str(), &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
}

absl::StatusOr<Credentials> LoadCredentials(const CredentialFiles& files,
                                            const std::string& server) {
  if (absl::Status together = CheckTogether(files); !together.ok()) return together;
  const bool in_the_clear = files.tls_ca.empty() && !files.insecure_token && !IsLocal(server);
  if (!files.token_file.empty() && in_the_clear) {
    return Fault("--token-file", absl::StrCat("would be read by whoever is on the way to ", server,
                                              "; encrypt with --tls-ca, or give --insecure-token"));
  }
  Credentials credentials;
  auto roots = ReadPem(files.tls_ca, "BEGIN CERTIFICATE", "certificate");
  if (!roots.ok()) return roots.status();
  auto certificate = ReadPem(files.tls_certificate, "BEGIN CERTIFICATE", "certificate");
  if (!certificate.ok()) return certificate.status();
  auto key = ReadPem(files.tls_key, "PRIVATE KEY", "private key");
  if (!key.ok()) return key.status();
  credentials.roots = *std::move(roots);
  credentials.certificate = *std::move(certificate);
  credentials.key = *std::move(key);
  if (files.token_file.empty()) return credentials;
  auto token = ReadToken(files.token_file);
  if (!token.ok()) return token.status();
  credentials.token = *std::move(token);
  return credentials;
}

std::string ConnectionHint(const absl::Status& error, const Credentials& credentials) {
  if (absl::IsUnauthenticated(error)) {
    return credentials.token.empty() ? " (give --token-file)"
                                     : " (the server does not know the token of --token-file)";
  }
  if (!absl::IsUnavailable(error)) return "";
  if (credentials.roots.empty()) {
    return " (is a server running there? one that encrypts needs --tls-ca)";
  }
  if (absl::StrContains(error.message(), "peer certificate")) return "";  // told in full
  // A server that misses the client's certificate says nothing, and closes the connection.
  if (!absl::StrContains(error.message(), "andshake")) {
    return " (is a server running there? one that asks clients for certificates needs "
           "--tls-certificate)";
  }
  return " (does the server encrypt, does its certificate name this address and lead to --tls-ca, "
         "and does it ask for a --tls-certificate?)";
}

}  // namespace sinkstream
