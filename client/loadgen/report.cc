#include "client/loadgen/report.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace sinkstream::loadgen {
namespace {

// NaN where there is nothing to divide by: of nothing there is no rate.
double Per(double count, double whole) {
  return whole > 0 ? count / whole : std::numeric_limits<double>::quiet_NaN();
}

std::string Fixed(double value, int digits) {
  return std::isnan(value) ? "-" : absl::StrFormat("%.*f", digits, value);
}

std::string Row(const char* name, const Histogram& histogram) {
  if (histogram.count() == 0) return "";
  return absl::StrFormat("%-18s %9.2f %9.2f %9.2f %9.2f %9.2f %9d\n", name,
                         histogram.Percentile(50), histogram.Percentile(90),
                         histogram.Percentile(99), histogram.Max(), histogram.Mean(),
                         histogram.count());
}

std::string ErrorLine(const Measurement& measurement) {
  std::string line = absl::StrCat("errors ", measurement.errors());
  for (const auto& [code, errors] : measurement.errors_by_code()) {
    absl::StrAppend(&line, "  ", absl::StatusCodeToString(code), " ", errors.count);
  }
  return line + "\n";
}

double GoodShare(const Measurement& measurement) {
  const auto judged = static_cast<double>(measurement.judged_turns());
  return Per(static_cast<double>(measurement.good_turns()), judged);
}

std::string GoodputLine(const Measurement& measurement, double seconds) {
  const Objective& objective = measurement.objective();
  if (!objective.IsSet()) return "";
  std::string line = "goodput";
  if (objective.ttft) {
    absl::StrAppend(&line, " (TTFT <= ", absl::ToDoubleMilliseconds(*objective.ttft), " ms)");
  }
  if (objective.itl) {
    absl::StrAppend(&line, " (ITL <= ", absl::ToDoubleMilliseconds(*objective.itl), " ms)");
  }
  absl::StrAppendFormat(
      &line, " %s %% of turns, %s turns/s, %s tokens/s\n", Fixed(100 * GoodShare(measurement), 1),
      Fixed(Per(static_cast<double>(measurement.good_turns_in_window()), seconds), 2),
      Fixed(Per(static_cast<double>(measurement.good_tokens_in_window()), seconds), 1));
  return line;
}

Json Percentiles(const Histogram& histogram) {
  return {{"p50", histogram.Percentile(50)}, {"p90", histogram.Percentile(90)},
          {"p99", histogram.Percentile(99)}, {"min", histogram.Min()},
          {"max", histogram.Max()},          {"mean", histogram.Mean()},
          {"count", histogram.count()}};
}

Json Goodput(const Measurement& measurement, double seconds) {
  const Objective& objective = measurement.objective();
  if (!objective.IsSet()) return nullptr;
  const auto milliseconds = [](const std::optional<absl::Duration>& duration) -> Json {
    return duration ? Json(absl::ToDoubleMilliseconds(*duration)) : Json();
  };
  return {
      {"slo_ttft_ms", milliseconds(objective.ttft)},
      {"slo_itl_ms", milliseconds(objective.itl)},
      {"share_of_turns", GoodShare(measurement)},
      {"turns_per_second", Per(static_cast<double>(measurement.good_turns_in_window()), seconds)},
      {"tokens_per_second",
       Per(static_cast<double>(measurement.good_tokens_in_window()), seconds)}};
}

Json DescribeWorkload(const Workload& load) {
  return {{"loop", load.OpenLoop() ? "open" : "closed"},
          {"sessions", load.OpenLoop() ? Json() : Json(load.sessions)},
          {"rate", load.OpenLoop() ? Json(load.rate) : Json()},
          {"turns", load.turns},
          {"duration_s", absl::ToDoubleSeconds(load.duration)},
          {"warmup_s", absl::ToDoubleSeconds(load.warmup)},
          {"warmup_turns", load.duration > absl::ZeroDuration() ? 0 : load.warmup_turns},
          {"ramp_s", absl::ToDoubleSeconds(load.ramp)},
          {"prompt_tokens", Describe(load.prompt_tokens)},
          {"max_tokens", Describe(load.reply_tokens)},
          {"think_ms", Describe(load.think_ms)},
          {"history_tokens", Describe(load.history_tokens)},
          {"long_share", load.long_share},
          {"slow_share", load.slow_share},
          {"read_delay_ms", absl::ToDoubleMilliseconds(load.read_delay)},
          {"cancel_share", load.cancel_share},
          {"drop_share", load.drop_share},
          {"seed", load.seed}};
}

Json DescribeServer(const Options& options, const v1::GetModelResponse& model) {
  return {{"server", options.server},
          {"server_version", model.server_version()},
          {"model", model.name()},
          {"weight_dtype", model.weight_dtype()},
          {"kv_dtype", model.kv_dtype()},
          {"isa", model.isa()},
          {"sinks", options.sinks < 0 ? model.defaults().sinks() : options.sinks},
          {"window", options.window < 0 ? model.defaults().window() : options.window},
          {"temperature", options.temperature},
          {"ignore_end_of_turn", options.ignore_end_of_turn}};
}

// One value of each run, as a line of a chart.
plot::Series Line(const char* legend, const char* name, size_t style,
                  const std::vector<LoadResult>& results, double (*value)(const Measurement&)) {
  plot::Series series{.legend = legend, .name = name, .points = {}, .style = plot::StyleOf(style)};
  for (const LoadResult& result : results) {
    const double y = value(result.measurement);
    // Of a run in which nothing was measured there is none.
    if (!std::isnan(y)) series.points.push_back({static_cast<double>(result.workload.sessions), y});
  }
  std::stable_sort(series.points.begin(), series.points.end(),
                   [](const auto& a, const auto& b) { return a.x < b.x; });
  return series;
}

plot::Chart ChartOf(std::string title, std::string subtitle, std::string y_label,
                    std::vector<plot::Series> series) {
  return {.title = std::move(title),
          .subtitle = std::move(subtitle),
          .x_label = "sessions at a time",
          .y_label = std::move(y_label),
          .series = std::move(series),
          .moments = {},
          .from_zero = true};
}

double Throughput(const Measurement& measurement) {
  return measurement.TokensPerSecond(measurement.end());
}

}  // namespace

std::string MakeTable(const Measurement& measurement, const GeneratorCost& cost, absl::Time at) {
  const double seconds = measurement.Seconds(at);
  std::string table =
      absl::StrFormat("%.1f s measured: %s tokens/s in all, %s turns/s (%d turns, %d tokens)\n",
                      seconds, Fixed(measurement.TokensPerSecond(at), 1),
                      Fixed(Per(static_cast<double>(measurement.turns_in_window()), seconds), 2),
                      measurement.finished_turns(), measurement.tokens());
  if (measurement.bent_turns() > 0) {
    absl::StrAppend(&table, measurement.bent_turns(),
                    " turns more were cancelled, dropped or read slowly, as planned\n");
  }
  if (measurement.sessions_without_turn() > 0) {
    absl::StrAppend(&table, measurement.sessions_without_turn(),
                    " sessions had no turn: their histories took until the end\n");
  }
  absl::StrAppend(&table, ErrorLine(measurement), GoodputLine(measurement, seconds));
  absl::StrAppendFormat(&table, "%-18s %9s %9s %9s %9s %9s %9s\n", "", "p50", "p90", "p99", "max",
                        "mean", "count");
  absl::StrAppend(&table, Row("TTFT ms", measurement.ttft()), Row("ITL ms", measurement.itl()),
                  Row("turn ms", measurement.turn()), Row("queue ms", measurement.queue()),
                  Row("session start ms", measurement.session_start()));
  absl::StrAppend(&table, Row("re-attach ms", measurement.reattach()),
                  Row("tokens/s of a turn", measurement.turn_rate()));
  absl::StrAppendFormat(&table, "generator: %.1f %% of a core, at most %.1f ms late\n",
                        100 * cost.Share(),
                        measurement.lag().count() == 0 ? 0 : measurement.lag().Max());
  return table;
}

std::string MakeErrorList(const Measurement& measurement) {
  std::string list;
  for (const auto& [code, errors] : measurement.errors_by_code()) {
    absl::StrAppend(&list, "first ", absl::StatusCodeToString(code), ": ", errors.first_message,
                    "\n");
  }
  return list;
}

std::string MakeLine(const Measurement& measurement, absl::Time at) {
  std::string line =
      absl::StrFormat("%s tokens/s, %d turns", Fixed(measurement.TokensPerSecond(at), 1),
                      measurement.finished_turns());
  if (measurement.itl().count() > 0) {
    absl::StrAppendFormat(&line, ", TTFT p50 %.1f ms, ITL p50 %.1f ms",
                          measurement.ttft().Percentile(50), measurement.itl().Percentile(50));
  }
  return absl::StrCat(line, ", ", measurement.errors(), " errors");
}

std::string MakeSweepTable(const std::vector<LoadResult>& results) {
  constexpr char kHead[] = "%8s %8s %8s %9s %9s %8s %8s %8s %6s\n";
  std::string table = absl::StrFormat(kHead, "sessions", "tokens/s", "tokens/s", "TTFT ms",
                                      "TTFT ms", "ITL ms", "ITL ms", "turn ms", "errors");
  absl::StrAppendFormat(&table, kHead, "", "in all", "of turns", "p50", "p99", "p50", "p99", "p50",
                        "");
  for (const LoadResult& result : results) {
    const Measurement& of = result.measurement;
    absl::StrAppendFormat(&table, "%8d %8s %8s %9s %9s %8s %8s %8s %6d\n", result.workload.sessions,
                          Fixed(Throughput(of), 1), Fixed(of.turn_rate().Percentile(50), 1),
                          Fixed(of.ttft().Percentile(50), 2), Fixed(of.ttft().Percentile(99), 2),
                          Fixed(of.itl().Percentile(50), 2), Fixed(of.itl().Percentile(99), 2),
                          Fixed(of.turn().Percentile(50), 2), of.errors());
  }
  return table;
}

Json MakeReport(const LoadResult& result) {
  const Measurement& of = result.measurement;
  const double seconds = of.Seconds(of.end());
  Json errors = Json::object(), messages = Json::object();
  for (const auto& [code, of_code] : of.errors_by_code()) {
    errors[absl::StatusCodeToString(code)] = of_code.count;
    messages[absl::StatusCodeToString(code)] = of_code.first_message;
  }
  return {{"tokens_per_second", Throughput(of)},
          {"ttft_ms", Percentiles(of.ttft())},
          {"itl_ms", Percentiles(of.itl())},
          {"turn_ms", Percentiles(of.turn())},
          {"queue_ms", Percentiles(of.queue())},
          {"session_start_ms", Percentiles(of.session_start())},
          {"reattach_ms", Percentiles(of.reattach())},
          {"turn_tokens_per_second", Percentiles(of.turn_rate())},
          {"errors", of.errors()},
          {"errors_by_code", errors},
          {"first_messages", messages},
          {"seconds", seconds},
          {"sessions", of.sessions()},
          {"sessions_without_turn", of.sessions_without_turn()},
          {"turns", of.finished_turns()},
          {"cancelled_dropped_or_slow_turns", of.bent_turns()},
          {"tokens", of.tokens()},
          {"turns_per_second", Per(static_cast<double>(of.turns_in_window()), seconds)},
          {"goodput", Goodput(of, seconds)},
          {"generator",
           {{"cpu_seconds", result.cost.cpu_seconds},
            {"cpu_share", result.cost.Share()},
            {"lag_ms", Percentiles(of.lag())}}},
          {"workload", DescribeWorkload(result.workload)}};
}

Json MakeReport(const Options& options, const v1::GetModelResponse& model,
                const std::vector<LoadResult>& results, const absl::Status& status) {
  Json report;
  report["complete"] = status.ok();
  if (!status.ok()) report["error"] = std::string(status.message());
  report.update(DescribeServer(options, model));
  if (options.sweep.empty()) {
    if (!results.empty()) report.update(MakeReport(results.front()));
    return report;
  }
  report["sweep"] = Json::array();
  for (const LoadResult& result : results) report["sweep"].push_back(MakeReport(result));
  return report;
}

plot::Drawing DrawSweep(const std::string& model, const std::vector<LoadResult>& results) {
  return plot::Stack({
      plot::Draw(ChartOf(absl::StrCat("Tokens a second of ", model),
                         "Higher is better: the replies of all sessions together.", "tokens / s",
                         {Line("all sessions together", "in all", 2, results, Throughput)})),
      plot::Draw(ChartOf("Time between two tokens of a reply", "Lower is better.", "ms",
                         {Line("half of the gaps are at most so long", "p50", 2, results,
                               [](const Measurement& of) { return of.itl().Percentile(50); }),
                          Line("99 % of the gaps are at most so long", "p99", 1, results,
                               [](const Measurement& of) { return of.itl().Percentile(99); })})),
      plot::Draw(ChartOf("Time to the first token of a reply",
                         "Lower is better. From the moment the turn was due.", "ms",
                         {Line("half of the turns wait at most so long", "p50", 2, results,
                               [](const Measurement& of) { return of.ttft().Percentile(50); }),
                          Line("99 % of the turns wait at most so long", "p99", 1, results,
                               [](const Measurement& of) { return of.ttft().Percentile(99); })})),
  });
}

}  // namespace sinkstream::loadgen
