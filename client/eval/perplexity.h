// sinkstream-eval perplexity: how well a model predicts a text under one policy.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "client/eval/policy.h"
#include "client/eval/subject.h"

namespace sinkstream::eval {

struct PerplexityOptions {
  Subject subject;
  CacheFlags cache;
  int64_t warmup = 1;
  PolicyKind policy = PolicyKind::kSink;
  std::string json;
  std::string plot;
};

std::vector<Flag> PerplexityFlags(PerplexityOptions* options);

// Prints the perplexity and writes the files asked for; after an error with what was measured
// until then.
absl::Status RunPerplexity(const PerplexityOptions& options, ScoreClient& client);

}  // namespace sinkstream::eval
