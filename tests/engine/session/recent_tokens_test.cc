#include "engine/session/recent_tokens.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <vector>

#include "engine/sampling/sampling_rules.h"

namespace sinkstream {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr int32_t kKept = kMaxPenaltyLastN;

// The tokens first .. end - 1.
std::vector<TokenId> Count(TokenId first, TokenId end) {
  std::vector<TokenId> tokens(static_cast<size_t>(end - first));
  std::iota(tokens.begin(), tokens.end(), first);
  return tokens;
}

std::vector<TokenId> Held(const RecentTokens& recent) {
  return {recent.AsSpan().begin(), recent.AsSpan().end()};
}

TEST(RecentTokens, HoldsWhatHasBeenReadInItsOrder) {
  RecentTokens recent;
  EXPECT_THAT(recent.AsSpan(), IsEmpty());
  recent.Append({5, 6});
  recent.Append({});
  recent.Append({7});
  EXPECT_THAT(recent.AsSpan(), ElementsAre(5, 6, 7));
}

TEST(RecentTokens, KeepsOfALongTextOnlyItsEnd) {
  RecentTokens recent;
  recent.Append(Count(0, 3 * kKept));
  EXPECT_EQ(Held(recent), Count(2 * kKept, 3 * kKept));
}

TEST(RecentTokens, DropsTheOldestWhereTheyWouldBeMoreThanTwiceThoseThatCount) {
  RecentTokens recent;
  recent.Append(Count(0, kKept));
  recent.Append(Count(kKept, 2 * kKept));
  EXPECT_EQ(Held(recent), Count(0, 2 * kKept));
  recent.Append({2 * kKept});
  EXPECT_EQ(Held(recent), Count(kKept, 2 * kKept + 1));
}

TEST(RecentTokens, HasTheLatestTokensAndABoundHoweverTheyCome) {
  RecentTokens recent;
  TokenId end = 0;
  for (const TokenId size :
       {1, 300, kKept - 1, kKept, 7, kKept + 1, 256, kKept - 1, 2, 5 * kKept}) {
    recent.Append(Count(end, end + size));
    end += size;
    const auto held = static_cast<TokenId>(recent.AsSpan().size());
    EXPECT_GE(held, std::min(end, kKept));
    EXPECT_LE(held, 2 * kKept);
    EXPECT_EQ(Held(recent), Count(end - held, end));
  }
}

TEST(RecentTokens, StayWhereTheyAre) {
  RecentTokens recent;
  recent.Append({1});
  const TokenId* const place = recent.AsSpan().data();
  for (int i = 0; i < 40; ++i) recent.Append(Count(0, 300));
  EXPECT_EQ(recent.AsSpan().data(), place);
}

}  // namespace
}  // namespace sinkstream
