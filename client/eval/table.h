// sinkstream-eval table: the paper's tables for the served model, in one go: dense, window, sinks
// 0/1/2/4/8 of the same size, and recomputation.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "client/eval/subject.h"

namespace sinkstream::eval {

struct TableOptions {
  Subject subject = {.tokens = 4096};
  int64_t warmup = 1024;
  int64_t cache = 256;  // sinks + window
  int64_t recompute_tokens = 200;
  std::string markdown;
  std::string json;
  std::string svg;
  std::string png;
};

std::vector<Flag> TableFlags(TableOptions* options);

// Prints the table and writes the files asked for; after an error with what was measured until
// then.
absl::Status RunTable(const TableOptions& options, ScoreClient& client);

}  // namespace sinkstream::eval
