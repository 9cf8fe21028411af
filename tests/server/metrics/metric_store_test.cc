#include "server/metrics/metric_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace sinkstream {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::IsSupersetOf;
using testing::Not;

std::vector<std::string> Lines(MetricStore& store) { return absl::StrSplit(store.Text(), '\n'); }

size_t SeriesOf(const MetricInfo& info) {
  size_t series = 1;
  for (const MetricLabel& label : info.labels) series *= label.values.size();
  return series;
}

TEST(MetricStore, TellsEveryLabelValueFromTheStart) {
  MetricStore store;
  const std::string text = store.Text();
  for (const MetricInfo& info : MetricCatalog()) {
    if (SeriesOf(info) == 0) continue;  // told by SetInfo
    const std::string type = absl::StrCat("# TYPE ", info.name, " ");
    EXPECT_THAT(text, HasSubstr(type));
    for (const MetricLabel& label : info.labels) {
      for (const std::string& value : label.values) {
        EXPECT_THAT(text, testing::ContainsRegex(absl::StrCat("\n", info.name, "[^\n]*[{,]",
                                                              label.name, "=\"", value, "\"")));
      }
    }
  }
}

TEST(MetricStore, TellsOneLineForEachCombinationOfLabelValues) {
  MetricStore store;
  std::vector<std::string> expected;
  for (const char* op : {"save", "load"}) {
    for (const char* outcome : {"ok", "error"}) {
      expected.push_back(absl::StrCat("sinkstream_park_operations_total{op=\"", op, "\",outcome=\"",
                                      outcome, "\"} 0"));
    }
  }
  EXPECT_THAT(Lines(store), IsSupersetOf(expected));
}

TEST(MetricStore, CountsWhereItsLabelsSay) {
  MetricStore store;
  store.CounterOf(Metric::kParkOperations, {1, 0}).Add();
  store.CounterOf(Metric::kParkOperations, {1, 0}).Add(2);
  store.GaugeOf(Metric::kSessions, {2}).Set(7);
  EXPECT_THAT(Lines(store),
              IsSupersetOf({"sinkstream_park_operations_total{op=\"load\",outcome=\"ok\"} 3",
                            "sinkstream_park_operations_total{op=\"save\",outcome=\"ok\"} 0",
                            "sinkstream_sessions{state=\"attached\"} 7"}));
}

TEST(MetricStore, ABucketHoldsItsUpperBoundAndAllBelow) {
  MetricStore store;
  HistogramCell& gaps = store.HistogramOf(Metric::kInterTokenLatencySeconds);
  gaps.Observe(0.005);
  gaps.Observe(0.0051, 3);
  gaps.Observe(99);
  EXPECT_THAT(Lines(store),
              IsSupersetOf({"sinkstream_inter_token_latency_seconds_bucket{le=\"0.005\"} 1",
                            "sinkstream_inter_token_latency_seconds_bucket{le=\"0.01\"} 4",
                            "sinkstream_inter_token_latency_seconds_bucket{le=\"10\"} 4",
                            "sinkstream_inter_token_latency_seconds_bucket{le=\"+Inf\"} 5",
                            "sinkstream_inter_token_latency_seconds_count 5"}));
}

TEST(MetricStore, AnInfoIsToldOnceItIsKnown) {
  MetricStore store;
  EXPECT_THAT(store.Text(), Not(HasSubstr("sinkstream_build_info")));
  store.SetInfo(Metric::kBuildInfo, {"1.2 \"rc\"\n"});
  EXPECT_THAT(Lines(store), Contains("sinkstream_build_info{version=\"1.2 \\\"rc\\\"\\n\"} 1"));
}

TEST(MetricStore, IsFilledBeforeEachText) {
  MetricStore store;
  double cpu = 1;
  store.FillBeforeText([&] { store.CounterOf(Metric::kProcessCpuSeconds).Set(cpu++); });
  EXPECT_THAT(Lines(store), Contains("process_cpu_seconds_total 1"));
  EXPECT_THAT(Lines(store), Contains("process_cpu_seconds_total 2"));
}

TEST(MetricStore, LosesNothingThatThreadsCountAtOnce) {
  MetricStore store;
  constexpr int kTimes = 10000;
  const auto count = [&] {
    for (int i = 0; i < kTimes; ++i) {
      store.CounterOf(Metric::kSteps, {0}).Add();
      store.HistogramOf(Metric::kStepSeconds).Observe(0.5);
    }
  };
  std::thread first(count), second(count);
  store.Text();
  first.join();
  second.join();
  EXPECT_EQ(store.CounterOf(Metric::kSteps, {0}).Value(), 2 * kTimes);
  const auto steps = store.HistogramOf(Metric::kStepSeconds).Read();
  EXPECT_EQ(steps.cumulative.back(), 2 * kTimes);
  EXPECT_EQ(steps.sum, kTimes);
}

}  // namespace
}  // namespace sinkstream
