// The W3C trace context of a call, from its request metadata (https://www.w3.org/TR/trace-context).
#pragma once

#include <optional>
#include <string_view>

#include "engine/types.h"

namespace sinkstream {

// Of the metadata entry `traceparent`. Absent for what the standard calls invalid: then the call
// is carried out without.
std::optional<TraceContext> ParseTraceParent(std::string_view value);

}  // namespace sinkstream
