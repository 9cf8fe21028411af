// What of a text the model sees while it reads it: the rows of the paper's tables. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace sinkstream::eval {

enum class PolicyKind {
  kDense,      // everything
  kWindow,     // the last tokens
  kSink,       // the first tokens and the last ones
  kRecompute,  // the last tokens, read afresh for each token: the paper's costly baseline
};

struct Policy {
  PolicyKind kind = PolicyKind::kSink;
  int64_t sinks = 0;   // tokens
  int64_t window = 0;  // tokens

  // Tokens that a token is predicted from, once the text is long enough.
  int64_t cache() const { return sinks + window; }
  // Read afresh for each token, rather than as one stream.
  bool recomputes() const { return kind == PolicyKind::kRecompute; }
  friend bool operator==(const Policy&, const Policy&) = default;
};

// "dense", "window", "sink" or "recompute".
std::string_view Name(PolicyKind kind);
std::optional<PolicyKind> PolicyKindByName(std::string_view name);

// For a table: "4+252" of a sink policy, "0+256" of a window, "256" of a recomputed one.
std::string CacheOf(const Policy& policy);

// The policy of these settings for a text of `tokens`; what the kind has no use for is ignored.
Policy MakePolicy(PolicyKind kind, int64_t sinks, int64_t window, int64_t tokens);

// INVALID_ARGUMENT: the model has never seen so many tokens at once.
absl::Status CheckPolicy(const Policy& policy, int64_t trained_context);

}  // namespace sinkstream::eval
