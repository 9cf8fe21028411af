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
  bool insecure_token = false;       // send it without encryption, to other machines too
};

// What is in these files; by default nothing, and a connection neither encrypts nor has a token.
// Plain text: making gRPC's own starts threads, which must come after signals are blocked.
struct Credentials {
  std::string roots, certificate, key;
  std::string token;  // sent with every call as `authorization: Bearer TOKEN`; empty: none
};

// True if no other machine reads what goes to `server`, an address of gRPC's: a socket of this one,
// localhost, 127.0.0.0/8, [::1]. No name is looked up.
bool IsLocal(const std::string& server);

// For connections to `server`, ADDRESS:PORT. INVALID_ARGUMENT, in one line that names the flag or
// the file: files that do not go together, that cannot be read, are longer than a MiB or hold
// something else; a token that would leave this machine unencrypted. No token is in it.
absl::StatusOr<Credentials> LoadCredentials(const CredentialFiles& files,
                                            const std::string& server);

// What a user may do about the error of a call: text to put behind it, " (...)". Empty: nothing
// that has to do with the connection.
std::string ConnectionHint(const absl::Status& error, const Credentials& credentials);

}  // namespace sinkstream
