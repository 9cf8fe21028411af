// sinkstream-eval recall: are facts known as long as they are in the cache, and gone after?
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "client/eval/subject.h"

namespace sinkstream::eval {

struct RecallOptions {
  Subject subject;
  CacheFlags cache;
  std::vector<int64_t> distances;  // tokens; none: from an eighth of the window to twice of it
  int64_t facts_per_distance = 20;
  std::string markdown;
  std::string json;
};

std::vector<Flag> RecallFlags(RecallOptions* options);

// Prints the accuracy by distance and writes the files asked for; after an error with what was
// measured until then.
absl::Status RunRecall(const RecallOptions& options, ScoreClient& client);

}  // namespace sinkstream::eval
