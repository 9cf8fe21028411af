// What a drift run has measured so far, kept in a file so that a run that broke off goes on.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/eval/statistics.h"
#include "client/eval/subject.h"

namespace sinkstream::eval {

// What makes two runs the same measurement.
struct DriftRun {
  std::string text;  // a digest of the token ids
  std::string model;
  std::string weight_dtype;
  std::string kv_dtype;
  int64_t tokens = 0;
  int64_t stretches = 0;
  int64_t sinks = 0;
  int64_t window = 0;
  int64_t recompute_tokens = 0;  // of each stretch
  friend bool operator==(const DriftRun&, const DriftRun&) = default;
};

// Tokens [begin, end) of the stream.
struct Stretch {
  int64_t begin = 0;
  int64_t end = 0;
  ScoreSum sum;
  std::vector<double> sampled;     // scores of its sampled tokens, as far as it is read, nats
  std::vector<double> recomputed;  // of the same tokens, as far as they are recomputed, nats
  double seconds = 0;              // that reading took
  int64_t timed_tokens = 0;        // that were read meanwhile
  int64_t resident_bytes = 0;      // of the server at its end; 0: not yet asked

  double perplexity() const { return Perplexity(sum); }
  // Of the stream by the recomputed policy's, on the same tokens; NaN: nothing recomputed.
  double recompute_ratio() const;
};

struct DriftState {
  DriftRun run;
  std::string session_id;  // of the session that reads, or is to read again, these tokens
  int64_t position = 0;    // tokens read and scored
  std::vector<Stretch> stretches;
};

DriftState BeginDrift(const DriftRun& run);

// The tokens that are recomputed in a stretch; the first of all has no score.
std::vector<int64_t> SamplesOf(const Stretch& stretch, int64_t recompute_tokens);

// The state in the file, or a new one where there is no file. FAILED_PRECONDITION: it is of another
// run; INVALID_ARGUMENT: it is no such file.
absl::StatusOr<DriftState> LoadDrift(const std::string& path, const DriftRun& run);
absl::Status SaveDrift(const std::string& path, const DriftState& state);

// FNV-1a, 64 bits, as hexadecimal digits.
std::string Digest(std::span<const int32_t> ids);

Json ToJson(const DriftState& state);

}  // namespace sinkstream::eval
