// Files of results: whole, or not there.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace sinkstream {

// Before hours of measuring: an error, naming the file, if it could not be written.
absl::Status CheckWritable(const std::string& path);

// Puts `content` in place of the file at once, so that whoever reads it finds the old or the new
// content whole. What is no regular file (a pipe, a device) is written to. Errors name the file.
absl::Status WriteWhole(const std::string& path, std::string_view content);

}  // namespace sinkstream
