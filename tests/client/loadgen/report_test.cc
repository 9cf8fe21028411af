#include "client/loadgen/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_split.h"

namespace sinkstream::loadgen {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

absl::Time Millisecond(double milliseconds) {
  return absl::UnixEpoch() + absl::Milliseconds(milliseconds);
}

// One turn of 5 tokens in a window of two seconds.
LoadResult SomeResult(int64_t sessions, const Objective& objective = {}) {
  LoadResult result{Workload(), Measurement(objective), {.cpu_seconds = 0.1, .seconds = 2}, {}};
  result.workload.sessions = sessions;
  Measurement& of = result.measurement;
  of.Open(Millisecond(0), Millisecond(2000));
  of.FirstToken(Millisecond(0), Millisecond(100));
  of.TokensArrived(Millisecond(100), 5);
  GapCount gaps;
  of.Gap(Millisecond(0), absl::Milliseconds(80), 4, gaps);
  of.TurnFinished(
      {Millisecond(0), Millisecond(100), Millisecond(500), absl::Milliseconds(1), 5, gaps});
  of.Failed(Millisecond(0), absl::InternalError("a fault"));
  return result;
}

TEST(ReportTest, HoldsThroughputLatenciesAndErrors) {
  const Json report = MakeReport(SomeResult(3));
  EXPECT_EQ(report["tokens_per_second"], 2.5);
  EXPECT_NEAR(report["ttft_ms"]["p50"].get<double>(), 100, 0.5);
  EXPECT_NEAR(report["itl_ms"]["p99"].get<double>(), 20, 0.1);
  EXPECT_NEAR(report["turn_ms"]["p90"].get<double>(), 500, 2);
  EXPECT_NEAR(report["turn_tokens_per_second"]["p50"].get<double>(), 10, 0.1);
  EXPECT_EQ(report["errors"], 1);
  EXPECT_EQ(report["errors_by_code"]["INTERNAL"], 1);
  EXPECT_EQ(report["first_messages"]["INTERNAL"], "a fault");
  EXPECT_EQ(report["goodput"], nullptr);
  EXPECT_EQ(report["generator"]["cpu_share"], 0.05);
  EXPECT_EQ(report["workload"]["sessions"], 3);
  EXPECT_EQ(report["workload"]["max_tokens"], "128");
}

TEST(ReportTest, GoodputIsOfTheTurnsThatKeptTheObjective) {
  const Json goodput =
      MakeReport(SomeResult(1, {.ttft = absl::Milliseconds(100), .itl = {}}))["goodput"];
  EXPECT_EQ(goodput["slo_ttft_ms"], 100);
  EXPECT_EQ(goodput["slo_itl_ms"], nullptr);
  EXPECT_EQ(goodput["share_of_turns"], 0.5);  // the other one failed
  EXPECT_EQ(goodput["turns_per_second"], 0.5);
  EXPECT_EQ(goodput["tokens_per_second"], 2.5);
}

TEST(ReportTest, RatesAreOfWhatEndsInTheWindow) {
  LoadResult result = SomeResult(1, {.ttft = absl::Milliseconds(100), .itl = {}});
  Measurement& of = result.measurement;
  of.TurnFinished(
      {Millisecond(1900), Millisecond(1950), Millisecond(5000), absl::Milliseconds(1), 70, {}});
  of.TurnFinished(
      {Millisecond(-500), Millisecond(-450), Millisecond(500), absl::Milliseconds(1), 70, {}});
  of.TurnFinished(
      {Millisecond(-400), Millisecond(-350), Millisecond(600), absl::Milliseconds(1), 70, {}});
  const Json report = MakeReport(result);
  EXPECT_EQ(report["turns"], 2);  // due in the window
  EXPECT_EQ(report["turns_per_second"], 1.5);
  EXPECT_EQ(report["goodput"]["share_of_turns"], 2.0 / 3);
  EXPECT_EQ(report["goodput"]["turns_per_second"], 0.5);
  EXPECT_EQ(report["goodput"]["tokens_per_second"], 2.5);
}

TEST(ReportTest, OfASweepHasARunForEachNumberOfSessions) {
  Options options;
  options.sweep = {1, 2, 4};
  const Json report =
      MakeReport(options, {}, {SomeResult(1), SomeResult(2)}, absl::UnavailableError("gone"));
  EXPECT_EQ(report["complete"], false);
  EXPECT_EQ(report["error"], "gone");
  ASSERT_EQ(report["sweep"].size(), 2u);
  EXPECT_EQ(report["sweep"][1]["workload"]["sessions"], 2);
}

TEST(ReportTest, WhatWasNotMeasuredIsNull) {
  LoadResult nothing{Workload(), Measurement({}), {}, {}};
  nothing.measurement.CloseAt(Millisecond(1000));
  const std::string text = MakeReport(nothing).dump();
  EXPECT_THAT(text, HasSubstr("\"ttft_ms\":{\"p50\":null"));
  EXPECT_THAT(text, HasSubstr("\"tokens_per_second\":null"));
  EXPECT_THAT(text, HasSubstr("\"turns_per_second\":null"));
}

TEST(TableTest, FitsAScreenAndNamesWhatWasMeasured) {
  const LoadResult result = SomeResult(1, {.ttft = absl::Milliseconds(50), .itl = {}});
  const std::string table = MakeTable(result.measurement, result.cost, Millisecond(9999));
  EXPECT_THAT(table, AllOf(HasSubstr("2.0 s measured: 2.5 tokens/s in all, 0.50 turns/s"),
                           HasSubstr("errors 1  INTERNAL 1"), HasSubstr("TTFT ms"),
                           HasSubstr("goodput (TTFT <= 50 ms) 0.0 % of turns"),
                           HasSubstr("generator: 5.0 % of a core"), Not(HasSubstr("re-attach"))));
  EXPECT_LE(std::count(table.begin(), table.end(), '\n'), 20);
  for (const auto line : absl::StrSplit(table, '\n')) EXPECT_LE(line.size(), 80u);
}

TEST(TableTest, ErrorsAreListedWithWhatTheFirstOfEachSaid) {
  EXPECT_EQ(MakeErrorList(SomeResult(1).measurement), "first INTERNAL: a fault\n");
}

TEST(SweepTest, ALineGoesFromFewSessionsToMany) {
  EXPECT_EQ(plot::ToSvg(DrawSweep("parrot", {SomeResult(64), SomeResult(1)})),
            plot::ToSvg(DrawSweep("parrot", {SomeResult(1), SomeResult(64)})));
}

TEST(SweepTest, IsATableAndThreeChartsInOneDrawing) {
  const std::vector<LoadResult> results = {SomeResult(1), SomeResult(64)};
  EXPECT_THAT(MakeSweepTable(results), HasSubstr("\n      64      2.5     10.0    100."));
  for (const auto line : absl::StrSplit(MakeSweepTable(results), '\n')) {
    EXPECT_LE(line.size(), 80u);
  }
  const std::string svg = plot::ToSvg(DrawSweep("parrot", results));
  EXPECT_THAT(svg,
              AllOf(HasSubstr("Tokens a second of parrot"), HasSubstr("Time between two tokens"),
                    HasSubstr("sessions at a time"), HasSubstr("Time to the first token")));
}

// It was interrupted in its warm-up.
LoadResult NothingMeasured() {
  LoadResult result{Workload(), Measurement({.ttft = absl::Milliseconds(9), .itl = {}}), {}, {}};
  result.measurement.Open(Millisecond(2000), Millisecond(4000));
  result.measurement.CloseAt(Millisecond(1000));
  return result;
}

TEST(TableTest, WhatWasNotMeasuredIsADash) {
  const LoadResult nothing = NothingMeasured();
  const std::string table = MakeTable(nothing.measurement, nothing.cost, Millisecond(1000));
  EXPECT_THAT(table, AllOf(HasSubstr("0.0 s measured: - tokens/s in all, - turns/s"),
                           HasSubstr(" - % of turns, - turns/s, - tokens/s")));
  EXPECT_THAT(MakeLine(nothing.measurement, Millisecond(1000)), StartsWith("- tokens/s, 0 turns"));
  EXPECT_THAT(MakeSweepTable({nothing}), AllOf(HasSubstr(" - "), Not(HasSubstr("nan"))));
}

TEST(SweepTest, ARunWithoutAMeasureHasNoPoint) {
  const std::string svg = plot::ToSvg(DrawSweep("parrot", {SomeResult(1), SomeResult(2)}));
  EXPECT_EQ(plot::ToSvg(DrawSweep("parrot", {SomeResult(1), SomeResult(2), NothingMeasured()})),
            svg);
}

}  // namespace
}  // namespace sinkstream::loadgen
