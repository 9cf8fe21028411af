// What every subcommand evaluates: the model of a server, on a text.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/eval/arguments.h"
#include "client/eval/score_client.h"

namespace sinkstream::eval {

using Json = nlohmann::ordered_json;

struct Subject {
  std::string server = "127.0.0.1:50051";
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

// Before anything is measured: an error if one of the paths that are not empty takes no file.
absl::Status CheckWritable(std::initializer_list<std::string> paths);

// Writes a report; where the file does not take it, prints it on standard output and returns why.
// No effect without a path.
absl::Status KeepReport(const std::string& path, const std::string& content);
absl::Status KeepReport(const std::string& path, const Json& report);

// What stands before results that end with an error; empty without one.
std::string IncompleteMark(const absl::Status& measured);

// The error of those that came first, of a measurement and of keeping its reports; says where what
// was measured until then is: on standard output and in those of `paths` that are not empty.
absl::Status FirstError(const absl::Status& measured, const absl::Status& kept,
                        std::initializer_list<std::string> paths);

}  // namespace sinkstream::eval
