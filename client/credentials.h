// Credentials: how a client encrypts its connection, and who it says it is. Read once from files.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace sinkstream {

// Paths, as the flags of these names give them; empty: without.
struct CredentialFiles {
  std::string tls_ca = {};           // PEM: roots that the server's certificate leads to; encrypts
  std::string tls_certificate = {};  // PEM: the client's own, where the server asks for one
  std::string tls_key = {};          // PEM: its key
  std::string token_file = {};       // a bearer token, and nothing else
};

// What is in these files; by default nothing, and a connection neither encrypts nor has a token.
// Plain text: making gRPC's own starts threads, which must come after signals are blocked.
struct Credentials {
  std::string roots, certificate, key;
  std::string token;  // sent with every call as `authorization: Bearer TOKEN`; empty: none
};

// INVALID_ARGUMENT, in one line that names the flag or the file: files that do not go together,
// that cannot be read, or that hold something else. No token is in it.
absl::StatusOr<Credentials> LoadCredentials(const CredentialFiles& files);

// What a user may do about the error of a call: text to put behind it, " (...)". Empty: nothing
// that has to do with the connection.
std::string ConnectionHint(const absl::Status& error, const Credentials& credentials);

}  // namespace sinkstream
