// A client tells in one line what went wrong.
#pragma once

#include <google/protobuf/stubs/logging.h>

#include <cstdlib>

namespace sinkstream {

// Before gRPC is used: nothing of what it and protobuf log reaches standard error. GRPC_VERBOSITY
// in the environment overrides it for gRPC.
inline void SilenceLibraries() {
  setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);
  google::protobuf::SetLogHandler(nullptr);
}

}  // namespace sinkstream
