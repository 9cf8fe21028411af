// The reports of a measurement: files asked for on the command line, and what is said where the
// measurement or the writing failed.
#pragma once

#include <initializer_list>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/status.h"

namespace sinkstream {

using Json = nlohmann::ordered_json;

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

}  // namespace sinkstream
