// Files of results: whole, or not there.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace sinkstream {

// Before hours of measuring: an error, naming the file, if it could not be written.
absl::Status CheckWritable(const std::string& path);

// Puts `content` in place of the file at once, so that whoever reads it finds the old or the new
// content whole; a link stays one and leads to it. What is no regular file (a pipe, a device) is
// written to, and so is a descriptor of this process (/dev/stdout, /dev/fd/3, a link to one),
// behind what it has. Errors name `path`.
absl::Status WriteWhole(const std::string& path, std::string_view content);

}  // namespace sinkstream
