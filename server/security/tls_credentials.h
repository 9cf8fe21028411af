// TlsCredentials: encrypts a port, each handshake with the newest certificate of a PortSecurity.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>

#include "server/security/port_security.h"

namespace sinkstream {

// For one port of one server, which they outlive, as `security` does. Requires: security.Tls() is
// not null. Where it has client roots, a client must show a certificate that they vouch for.
std::shared_ptr<grpc::ServerCredentials> TlsCredentials(const PortSecurity& security);

}  // namespace sinkstream
