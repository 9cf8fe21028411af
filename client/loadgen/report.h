// What a load has shown, for people and for programs. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "client/loadgen/measurement.h"
#include "client/loadgen/options.h"
#include "client/plot/chart.h"
#include "client/tool/report_file.h"
#include "sinkstream/v1/chat.pb.h"

namespace sinkstream::loadgen {

// What the generator itself took.
struct GeneratorCost {
  double cpu_seconds = 0;
  double seconds = 0;
  // Of one core.
  double Share() const { return seconds > 0 ? cpu_seconds / seconds : 0; }
};

// One run.
struct LoadResult {
  Workload workload;
  Measurement measurement;
  GeneratorCost cost;
  absl::Status status;  // how the run ended
};

// A screen of lines: throughput, latencies, errors. `at`: of a run that goes on, now.
std::string MakeTable(const Measurement& measurement, const GeneratorCost& cost, absl::Time at);

// What the first error of each code said, a line each.
std::string MakeErrorList(const Measurement& measurement);

// Half a line of the table.
std::string MakeLine(const Measurement& measurement, absl::Time at);

// A line for each run of a sweep.
std::string MakeSweepTable(const std::vector<LoadResult>& results);

Json MakeReport(const LoadResult& result);
// Of a run, or of a sweep, with the server's model and how it ended.
Json MakeReport(const Options& options, const v1::GetModelResponse& model,
                const std::vector<LoadResult>& results, const absl::Status& status);

// Throughput, gaps between tokens and time to the first one, each against the sessions of a sweep.
plot::Drawing DrawSweep(const std::string& model, const std::vector<LoadResult>& results);

}  // namespace sinkstream::loadgen
