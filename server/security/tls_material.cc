#include "server/security/tls_material.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <ctime>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "server/security/small_file.h"

namespace sinkstream {
namespace {

template <auto free_function>
struct Free {
  template <typename T>
  void operator()(T* object) const {
    free_function(object);
  }
};
using Bio = std::unique_ptr<BIO, Free<BIO_free_all>>;
using Certificate = std::unique_ptr<X509, Free<X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY_free>>;

absl::Status TlsFault(const std::string& path, const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat(path, ": ", what));
}

Bio Reader(const std::string& text) {
  return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

// True if a PEM reader has come to the end of its text, rather than to something damaged.
bool AtEnd() {
  const unsigned long error = ERR_peek_last_error();  // NOLINT(google-runtime-int): OpenSSL's
  ERR_clear_error();
  return ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
}

absl::StatusOr<std::vector<Certificate>> ParseCertificates(const std::string& text,
                                                           const std::string& path) {
  const Bio reader = Reader(text);
  std::vector<Certificate> certificates;
  ERR_clear_error();
  while (X509* const certificate = PEM_read_bio_X509(reader.get(), nullptr, nullptr, nullptr)) {
    certificates.emplace_back(certificate);
  }
  if (!AtEnd()) {
    return TlsFault(path,
                    absl::StrCat("certificate ", certificates.size() + 1, " in it is damaged"));
  }
  if (certificates.empty()) return TlsFault(path, "holds no certificate in PEM form");
  return certificates;
}

// Instead of a question on the terminal.
int NoPassphrase(char*, int, int, void* asked) {
  *static_cast<bool*>(asked) = true;
  return -1;
}

absl::StatusOr<Key> ParseKey(const std::string& text, const std::string& path) {
  if (!absl::StrContains(text, "PRIVATE KEY-----")) {
    return TlsFault(path, "holds no private key in PEM form");
  }
  const Bio reader = Reader(text);
  bool asked = false;
  Key key(PEM_read_bio_PrivateKey(reader.get(), nullptr, NoPassphrase, &asked));
  ERR_clear_error();
  if (asked) return TlsFault(path, "the key has a passphrase; give it without one");
  if (key == nullptr) return TlsFault(path, "the private key in it is damaged");
  return key;
}

// What the TLS library itself has against one of them: a key that is too short, an old signature.
// gRPC would learn of those behind the first at the handshake, and then of each one.
absl::Status CheckStrength(const std::vector<Certificate>& chain, const std::string& path) {
  const std::unique_ptr<SSL_CTX, Free<SSL_CTX_free>> context(SSL_CTX_new(TLS_server_method()));
  ERR_clear_error();
  for (size_t i = 0; i < chain.size(); ++i) {
    X509* const certificate = chain[i].get();
    const bool taken = (i == 0 ? SSL_CTX_use_certificate(context.get(), certificate)
                               : SSL_CTX_add1_chain_cert(context.get(), certificate)) == 1;
    if (taken) continue;
    const char* const reason = ERR_reason_error_string(ERR_get_error());
    ERR_clear_error();
    return TlsFault(path, absl::StrCat("certificate ", i + 1, " in it cannot be used: ",
                                       reason == nullptr ? "unknown" : reason));
  }
  return absl::OkStatus();
}

absl::Time Expiry(const X509& certificate) {
  std::tm utc = {};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(&certificate), &utc) != 1) return absl::UnixEpoch();
  return absl::FromTM(utc, absl::UTCTimeZone());
}

std::string DateWarning(const X509& certificate, const std::string& path) {
  if (X509_cmp_current_time(X509_get0_notAfter(&certificate)) < 0) {
    return absl::StrCat(path, ": the certificate has expired");
  }
  if (X509_cmp_current_time(X509_get0_notBefore(&certificate)) > 0) {
    return absl::StrCat(path, ": the certificate is not valid yet");
  }
  return "";
}

}  // namespace

absl::StatusOr<TlsMaterial> LoadTls(const TlsFiles& files) {
  auto certificates = ReadSmallFile(files.certificate);
  if (!certificates.ok()) return certificates.status();
  auto key = ReadSmallFile(files.key);
  if (!key.ok()) return key.status();
  absl::StatusOr<std::string> roots = std::string();
  if (!files.client_ca.empty()) roots = ReadSmallFile(files.client_ca);
  if (!roots.ok()) return roots.status();

  const auto chain = ParseCertificates(*certificates, files.certificate);
  if (!chain.ok()) return chain.status();
  const auto parsed_key = ParseKey(*key, files.key);
  if (!parsed_key.ok()) return parsed_key.status();
  X509& own = *chain->front();
  if (absl::Status usable = CheckStrength(*chain, files.certificate); !usable.ok()) return usable;
  if (X509_check_private_key(&own, parsed_key->get()) != 1) {
    ERR_clear_error();
    return TlsFault(files.key,
                    absl::StrCat("is not the key of the certificate in ", files.certificate));
  }
  if (!files.client_ca.empty()) {
    const auto parsed_roots = ParseCertificates(*roots, files.client_ca);
    if (!parsed_roots.ok()) return parsed_roots.status();
  }
  return TlsMaterial{*std::move(certificates), *std::move(key), *std::move(roots), Expiry(own),
                     DateWarning(own, files.certificate)};
}

}  // namespace sinkstream
