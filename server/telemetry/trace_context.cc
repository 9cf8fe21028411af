#include "server/telemetry/trace_context.h"

#include <algorithm>
#include <string>

namespace sinkstream {
namespace {

// version "-" trace-id "-" parent-id "-" trace-flags
constexpr size_t kVersionEnd = 2;
constexpr size_t kTraceEnd = 35;
constexpr size_t kParentEnd = 52;
constexpr size_t kFlagsEnd = 55;

bool IsHex(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool IsZero(std::string_view text) { return text.find_first_not_of('0') == std::string_view::npos; }

int HexDigit(char digit) { return digit <= '9' ? digit - '0' : digit - 'a' + 10; }

// A later version may go on behind the flags.
bool LengthFits(std::string_view value) {
  const bool first_version = value.substr(0, kVersionEnd) == "00";
  return value.size() == kFlagsEnd || (!first_version && value[kFlagsEnd] == '-');
}

}  // namespace

std::optional<TraceContext> ParseTraceParent(std::string_view value) {
  if (value.size() < kFlagsEnd || !LengthFits(value)) return std::nullopt;
  for (const size_t dash : {kVersionEnd, kTraceEnd, kParentEnd}) {
    if (value[dash] != '-') return std::nullopt;
  }
  const auto version = value.substr(0, kVersionEnd);
  const auto trace = value.substr(kVersionEnd + 1, kTraceEnd - kVersionEnd - 1);
  const auto parent = value.substr(kTraceEnd + 1, kParentEnd - kTraceEnd - 1);
  const auto flags = value.substr(kParentEnd + 1, kFlagsEnd - kParentEnd - 1);
  if (!IsHex(version) || !IsHex(trace) || !IsHex(parent) || !IsHex(flags)) return std::nullopt;
  if (version == "ff" || IsZero(trace) || IsZero(parent)) return std::nullopt;
  return TraceContext{std::string(trace), std::string(parent), (HexDigit(flags[1]) & 1) != 0};
}

}  // namespace sinkstream
