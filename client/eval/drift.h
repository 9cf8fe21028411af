// sinkstream-eval drift: does the model get worse, the server slower or bigger, in a very long
// stream?
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "client/eval/subject.h"

namespace sinkstream::eval {

struct DriftOptions {
  Subject subject;
  CacheFlags cache;
  int64_t stretches = 10;
  int64_t recompute_tokens = 50;  // of each stretch
  std::string state = "sinkstream-drift.state.json";
  std::string json;
};

std::vector<Flag> DriftFlags(DriftOptions* options);

// Goes on where the state file says, prints what each stretch measured and writes the report.
absl::Status RunDrift(const DriftOptions& options, ScoreClient& client);

}  // namespace sinkstream::eval
