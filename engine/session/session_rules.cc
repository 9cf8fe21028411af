#include "engine/session/session_rules.h"

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "engine/errors.h"
#include "engine/kv/kv_window.h"
#include "engine/sampling/sampling_rules.h"

namespace sinkstream {

int32_t StepSlackBlocks(const EngineLimits& limits, const ModelSpec& spec) {
  return StepSlackBlocks(limits.step_tokens, limits.max_prefills_per_step, spec.block_tokens);
}

absl::Status ValidateTokenCount(size_t tokens, int32_t most, const std::string& field) {
  if (tokens <= static_cast<size_t>(most)) return absl::OkStatus();
  return InvalidField(
      field, absl::StrCat("is ", tokens, " tokens long; at most ", most, " (max_request_tokens)"));
}

absl::Status ValidateContext(int64_t sinks, int64_t window, const ModelSpec& spec,
                             const std::string& field) {
  if (window <= spec.trained_context - sinks) return absl::OkStatus();
  return InvalidField(
      field, absl::StrCat(sinks, " pinned tokens + a window of ", window,
                          " are beyond the trained context of ", spec.trained_context, " tokens"));
}

std::string ContextField(const OpenRequest& request) {
  return request.sinks && !request.window ? "sinks" : "window";
}

absl::Status ValidateSession(const SessionSettings& settings, const ModelSpec& spec,
                             const EngineLimits& limits, const std::string& field_prefix,
                             const std::string& context_field) {
  if (settings.sinks < 0) {
    return InvalidField(field_prefix + "sinks",
                        absl::StrCat("is ", settings.sinks, "; must be at least 0"));
  }
  if (settings.window < 1) {
    return InvalidField(field_prefix + "window",
                        absl::StrCat("is ", settings.window, "; must be at least 1"));
  }
  const auto context =
      ValidateContext(settings.sinks, settings.window, spec, field_prefix + context_field);
  if (!context.ok()) return context;
  if (settings.idle_timeout < absl::ZeroDuration() ||
      settings.idle_timeout > limits.max_idle_timeout) {
    return InvalidField(
        field_prefix + "idle_timeout",
        absl::StrCat("is ", absl::FormatDuration(settings.idle_timeout), "; must be in [0, ",
                     absl::FormatDuration(limits.max_idle_timeout), "]"));
  }
  return ValidateSampling(settings.sampling, spec.vocab_size, limits.max_tokens,
                          field_prefix + "sampling.");
}

}  // namespace sinkstream
