// What a stream has been told of scores, put together, and the texts that are compared by it.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <numeric>
#include <vector>

#include "tests/engine/conversation.h"

namespace sinkstream {

struct Told {
  std::vector<TokenId> tokens;
  std::vector<int64_t> positions;
  std::vector<float> logprobs;
  friend bool operator==(const Told&, const Told&) = default;
};

inline Told Scored(Stream& stream) {
  Told told;
  for (const Scores& scores : stream.Read().scores) {
    for (size_t i = 0; i < scores.logprobs.size(); ++i) {
      told.tokens.push_back(scores.logprobs[i].chosen.token);
      told.positions.push_back(scores.position + static_cast<int64_t>(i));
      told.logprobs.push_back(scores.logprobs[i].chosen.logprob);
    }
  }
  return told;
}

inline Told WholeScored(const std::vector<TokenId>& text, ScoringParams scoring = {}) {
  Conversation talk;
  auto& alice = talk.OpenStream();
  alice.Score(text, scoring);
  talk.Run();
  EXPECT_THAT(alice.Read().failures, testing::IsEmpty());
  return Scored(alice);
}

// What of `told` is about the tokens from text position `first` on.
inline Told From(int64_t first, const Told& told) {
  Told rest;
  for (size_t i = 0; i < told.positions.size(); ++i) {
    if (told.positions[i] < first) continue;
    rest.tokens.push_back(told.tokens[i]);
    rest.positions.push_back(told.positions[i]);
    rest.logprobs.push_back(told.logprobs[i]);
  }
  return rest;
}

inline std::vector<int64_t> Positions(int64_t first, int64_t count) {
  std::vector<int64_t> positions(static_cast<size_t>(count));
  std::iota(positions.begin(), positions.end(), first);
  return positions;
}

inline std::vector<TokenId> Piece(const std::vector<TokenId>& text, size_t begin, size_t end) {
  return {text.begin() + static_cast<int64_t>(begin), text.begin() + static_cast<int64_t>(end)};
}

}  // namespace sinkstream
