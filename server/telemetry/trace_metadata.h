// Where a call belongs in its client's own tracing.
#pragma once

#include <grpcpp/grpcpp.h>

#include <optional>

#include "engine/types.h"

namespace sinkstream {

// From the call's metadata entry `traceparent` (trace_context.h); absent if there is none, an
// invalid one or several.
std::optional<TraceContext> TraceOf(const grpc::ServerContextBase& context);

}  // namespace sinkstream
