// What a session's settings may be, whether a client or the server's flags give them. Pure
// functions; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "engine/model.h"
#include "engine/options.h"
#include "engine/types.h"

namespace sinkstream {

// Blocks of the pool that no session can reserve: a step takes them meanwhile.
int32_t StepSlackBlocks(const EngineLimits& limits, const ModelSpec& spec);

// INVALID_ARGUMENT naming `field` for a text of more tokens than EngineLimits::max_request_tokens,
// which is `most`.
absl::Status ValidateTokenCount(size_t tokens, int32_t most, const std::string& field);

// INVALID_ARGUMENT naming `field` unless `sinks` pinned tokens and the window are within the
// trained context together.
absl::Status ValidateContext(int64_t sinks, int64_t window, const ModelSpec& spec,
                             const std::string& field);

// INVALID_ARGUMENT naming `field_prefix` + field, what it was and the limit. `context_field`: which
// is to blame where sinks and window are too much together.
absl::Status ValidateSession(const SessionSettings& settings, const ModelSpec& spec,
                             const EngineLimits& limits, const std::string& field_prefix,
                             const std::string& context_field = "window");
// The one that its client has given; the window if that is both.
std::string ContextField(const OpenRequest& request);

}  // namespace sinkstream
