// TlsMaterial: the server's certificate and key, and whose certificates clients must show.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace sinkstream {

struct TlsFiles {
  std::string certificate;  // PEM: the server's, then those between it and its root
  std::string key;          // PEM, without a passphrase
  std::string client_ca;    // PEM: the roots of clients' certificates; empty: clients need none
};

struct TlsMaterial {
  std::string certificates, key, client_roots;  // PEM, checked
  absl::Time expires;                           // the server's own certificate
  std::string warning;                          // of its dates; empty: none
};

// INVALID_ARGUMENT, naming the file: it cannot be read, holds no certificate or key, a damaged one,
// one of its chain that the TLS library finds too weak, a key with a passphrase; or the key is not
// the certificate's.
absl::StatusOr<TlsMaterial> LoadTls(const TlsFiles& files);

}  // namespace sinkstream
