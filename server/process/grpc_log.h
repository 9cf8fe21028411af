// What gRPC writes into a log of its own. Nothing of it is printed unless GRPC_VERBOSITY (error,
// info, debug) asks for it: it repeats, over several lines, what clients and operators are told
// already. One line is told nowhere else: that a port has gone deaf.
#pragma once

#include <optional>
#include <string>

namespace sinkstream {

// Once, before gRPC is used.
void TakeGrpcLog();

// Any thread. Set for good once accept() has failed, with the system's reason: mostly that the
// process has no file left for a connection. gRPC 1.51 does not try again, so no connection is
// accepted any more. (Later ones do, and write another line.)
std::optional<std::string> WhyPortIsDeaf();

}  // namespace sinkstream
