// What gRPC writes into a log of its own. Nothing of it is printed unless GRPC_VERBOSITY asks for
// it: it repeats, over several lines, what clients and operators are told already. One line is told
// nowhere else: that a port has gone deaf.
#pragma once

namespace sinkstream {

// Once, before gRPC is used.
void TakeGrpcLog();

// Any thread; takes no lock. True for good once accept() has failed, as it does when the process
// has no file left for a connection: gRPC 1.51 does not try again. (Later ones do, and write
// another line.)
bool PortIsDeaf();

}  // namespace sinkstream
