#include "engine/session/recent_tokens.h"

#include <cstddef>

#include "engine/sampling/sampling_rules.h"

namespace sinkstream {

void RecentTokens::Append(absl::Span<const TokenId> tokens) {
  constexpr size_t kKept = kMaxPenaltyLastN;
  tokens_.reserve(2 * kKept);
  if (tokens.size() > kKept) {
    tokens.remove_prefix(tokens.size() - kKept);
    tokens_.clear();  // what was before them would not join on
  } else if (tokens_.size() + tokens.size() > 2 * kKept) {
    tokens_.erase(tokens_.begin(), tokens_.end() - kKept);
  }
  tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
}

}  // namespace sinkstream
