#include "server/telemetry/trace_metadata.h"

#include <iterator>
#include <string_view>

#include "server/telemetry/trace_context.h"

namespace sinkstream {

std::optional<TraceContext> TraceOf(const grpc::ServerContextBase& context) {
  const auto [begin, end] = context.client_metadata().equal_range("traceparent");
  if (begin == end || std::next(begin) != end) return std::nullopt;
  return ParseTraceParent(std::string_view(begin->second.data(), begin->second.size()));
}

}  // namespace sinkstream
