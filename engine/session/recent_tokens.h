// RecentTokens: the latest tokens that a session has read, without a gap, for the penalties, for
// guesses (speculation.h) and for text that goes on behind them. Holds all of the last
// kMaxPenaltyLastN, and never more than twice as many. Takes its memory at the first Append and no
// more after that, and moves it only now and then. One thread at a time.
#pragma once

#include <vector>

#include "absl/types/span.h"
#include "engine/types.h"

namespace sinkstream {

class RecentTokens {
 public:
  // They have been read, behind those before them. `tokens` are none of this object's.
  void Append(absl::Span<const TokenId> tokens);
  // Latest last. Valid until the next Append.
  absl::Span<const TokenId> AsSpan() const { return tokens_; }

 private:
  std::vector<TokenId> tokens_;
};

}  // namespace sinkstream
