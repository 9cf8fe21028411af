#include "server/process/memory_limit.h"

#include <gtest/gtest.h>

namespace sinkstream {
namespace {

constexpr int64_t kMiB = 1 << 20;

TEST(MemoryLimit, IsTheSumOfWhatEachPartMayTake) {
  ModelSpec spec;
  spec.num_blocks = 4;
  spec.block_bytes = 10 * kMiB;
  EngineLimits limits;
  limits.distribution_bytes = 100 * kMiB;
  limits.inbox.bytes = 64 * kMiB;
  limits.max_sessions = 10;
  limits.max_queued_requests = 8;
  limits.max_request_tokens = 1 << 18;  // 1 MiB
  const int64_t sessions = 10 * (2 * 4 + 8 + 3) * kMiB;
  EXPECT_EQ(MemoryLimit(spec, limits, 700 * kMiB),
            (700 + 40 + 100 + 512 + 2 * 64) * kMiB + sessions);
}

// The figures of docs/operations.md, "Memory", which tests/packaging sizes containers by.
TEST(MemoryLimit, OfTheDefaultLimitsIsAsDocumented) {
  const EngineLimits limits;
  const int64_t sessions = limits.max_sessions * 27 * kMiB / 2;
  EXPECT_EQ(MemoryLimit(ModelSpec(), limits, 0),
            limits.distribution_bytes + (512 + 64 + 64) * kMiB + sessions);
}

TEST(MemoryLimit, HoldsTheMostSessionsThatThereMayBe) {
  EngineLimits limits;
  limits.max_sessions = 1 << 20;
  EXPECT_GT(MemoryLimit(ModelSpec(), limits, 0), int64_t{1} << 42);
}

}  // namespace
}  // namespace sinkstream
