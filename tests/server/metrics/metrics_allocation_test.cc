// Counting a step, the pool and handed out tokens takes no memory from the heap. Its own program:
// it replaces operator new.
#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <new>

#include "server/metrics/engine_metrics.h"
#include "server/metrics/service_metrics.h"
#include "tests/fakes/fake_clock.h"

namespace {

int64_t allocations = 0;

void* Allocate(std::size_t size) {
  ++allocations;
  if (void* const memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc();
}

}  // namespace

// gcc 12 takes free() for a mistake where it inlines one of a pair.
[[gnu::noinline]] void* operator new(std::size_t size) { return Allocate(size); }
[[gnu::noinline]] void* operator new[](std::size_t size) { return Allocate(size); }
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete[](void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }

namespace sinkstream {
namespace {

TEST(MetricsAllocation, TheCounterCounts) {
  const int64_t before = allocations;
  const auto number = std::make_unique<int>(1);
  EXPECT_EQ(allocations - before, *number);
}

TEST(MetricsAllocation, CountingTakesNoMemory) {
  MetricStore store;
  FakeClock clock;
  EngineMetrics engine_metrics(store);
  ServiceMetrics service_metrics(store, clock);
  TokenTimes times(service_metrics);
  StepStats step;
  step.pinned_attention = 0.5;
  step.negative_log_likelihood = 1;
  Delta delta;
  delta.tokens = {1, 2};
  delta.arrived = clock.Now();
  Outbox::Batch batch;
  batch.events = {delta};
  const SessionId id;
  const std::optional<TraceContext> trace;
  const RequestEnd end{.session_id = id,
                       .principal = id,
                       .trace = trace,
                       .replies = true,
                       .reason = FinishReason::kLength,
                       .status = {},
                       .usage = {},
                       .timings = {}};
  const int64_t before = allocations;
  engine_metrics.OnStep(step);
  engine_metrics.OnPool({});
  engine_metrics.OnPaused();
  engine_metrics.OnRequestEnd(end);
  times.HandedOut(batch);
  service_metrics.StreamBegun();
  EXPECT_EQ(allocations - before, 0);
}

}  // namespace
}  // namespace sinkstream
