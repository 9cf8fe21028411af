// ADDRESS:PORT, as --listen has it.
#pragma once

#include <string>

namespace sinkstream {

// A host before the last colon, in brackets if it has colons itself (IPv6), without ',' and '+',
// which begin another address for the library behind --metrics_listen; a port in [0, 65535] behind
// it.
bool IsAddressAndPort(const std::string& listen);

// An address alone: in 127.0.0.0/8 or ::1, without brackets.
bool IsLoopbackAddress(const std::string& address);

// True if no other machine can reach it: localhost, 127.0.0.0/8, [::1]. Any other name: false.
bool IsLoopback(const std::string& listen);

// Why the system lets nobody listen there, in its own words; empty if it would. Looks names up; of
// several addresses one is enough. Without a scheme of gRPC's (unix:, dns:).
std::string WhyNotListen(const std::string& listen);

// What stands before the last colon.
std::string HostOf(const std::string& listen);

}  // namespace sinkstream
