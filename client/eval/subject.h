// What every subcommand evaluates: the model of a server, on a text.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/eval/score_client.h"
#include "client/tool/arguments.h"
#include "client/tool/report_file.h"

namespace sinkstream::eval {

struct Subject {
  std::string server = "127.0.0.1:50051";
  CredentialFiles credentials = {};
  std::string text = {};        // the file's path
  int64_t skip_characters = 0;  // of it
  int64_t tokens = 0;           // of the rest; 0: all
  int64_t parallel = 4;         // calls at a time
};

// How much a session sees. Unit: tokens. Negative: the server's default.
struct CacheFlags {
  int64_t sinks = -1;
  int64_t window = -1;
};

std::vector<Flag> SubjectFlags(Subject* subject);
std::vector<Flag> WindowFlags(CacheFlags* cache);

CacheFlags WithDefaults(const CacheFlags& cache, const v1::GetModelResponse& model);

// A text must have more tokens than `count`, which the flag `name` asks for.
struct LeastTokens {
  const char* name = nullptr;
  int64_t count = 0;
};

// Token ids of the subject's text, without special tokens. INVALID_ARGUMENT: it has too few.
// Connects `client`.
absl::StatusOr<std::vector<int32_t>> ReadIds(const Subject& subject, const LeastTokens& least,
                                             ScoreClient& client);

// For a report: the model and its server, the text.
Json DescribeSubject(const Subject& subject, const v1::GetModelResponse& model);

}  // namespace sinkstream::eval
