// Counting a step, the pool and handed out tokens takes no memory from the heap. Its own program:
// it replaces operator new.
#include <gtest/gtest.h>

#include <memory>

#include "server/metrics/engine_metrics.h"
#include "server/metrics/service_metrics.h"
#include "tests/fakes/counted_heap.h"
#include "tests/fakes/fake_clock.h"

namespace sinkstream {
namespace {

TEST(MetricsAllocation, TheCounterCounts) {
  counted_heap.counting = true;
  const int64_t before = counted_heap.allocations;
  const auto number = std::make_unique<int>(1);
  EXPECT_EQ(counted_heap.allocations - before, *number);
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
  counted_heap.counting = true;
  const int64_t before = counted_heap.allocations;
  engine_metrics.OnStep(step);
  engine_metrics.OnPool({});
  engine_metrics.OnPaused();
  engine_metrics.OnRequestEnd(end);
  times.HandedOut(batch);
  service_metrics.StreamBegun();
  EXPECT_EQ(counted_heap.allocations - before, 0);
}

}  // namespace
}  // namespace sinkstream
