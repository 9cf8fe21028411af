#include "client/eval/policy.h"

#include <array>
#include <utility>

#include "absl/strings/str_cat.h"

namespace sinkstream::eval {
namespace {

constexpr std::array<std::pair<PolicyKind, std::string_view>, 4> kNames = {{
    {PolicyKind::kDense, "dense"},
    {PolicyKind::kWindow, "window"},
    {PolicyKind::kSink, "sink"},
    {PolicyKind::kRecompute, "recompute"},
}};

}  // namespace

std::string_view Name(PolicyKind kind) { return kNames.at(static_cast<size_t>(kind)).second; }

std::optional<PolicyKind> PolicyKindByName(std::string_view name) {
  for (const auto& [kind, its_name] : kNames) {
    if (its_name == name) return kind;
  }
  return std::nullopt;
}

std::string CacheOf(const Policy& policy) {
  switch (policy.kind) {
    case PolicyKind::kDense:
      return "all";
    case PolicyKind::kRecompute:
      return absl::StrCat(policy.cache());
    default:
      return absl::StrCat(policy.sinks, "+", policy.window);
  }
}

Policy MakePolicy(PolicyKind kind, int64_t sinks, int64_t window, int64_t tokens) {
  switch (kind) {
    case PolicyKind::kDense:
      return {kind, 0, tokens};
    case PolicyKind::kWindow:
      return {kind, 0, window};
    default:
      return {kind, sinks, window};
  }
}

absl::Status CheckPolicy(const Policy& policy, int64_t trained_context) {
  if (policy.cache() <= trained_context) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("sinks + window: is ", policy.cache(), " (", policy.sinks, " + ", policy.window,
                   "); at most ", trained_context, ", the context that the model was trained on"));
}

}  // namespace sinkstream::eval
