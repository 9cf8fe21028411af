// Parsing the JSON documents of a model file, without exceptions.
#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace sinkstream {

// Far more than any document of ours needs.
inline constexpr int kMaxJsonDepth = 100;

// INVALID_ARGUMENT, to be read behind the document's name: "is not valid JSON", or "is nested too
// deeply", more than kMaxJsonDepth lists and objects in one another.
absl::StatusOr<nlohmann::json> ParseJsonDocument(std::string_view text);

}  // namespace sinkstream
