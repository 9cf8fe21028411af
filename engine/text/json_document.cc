#include "engine/text/json_document.h"

#include "absl/strings/str_cat.h"

namespace sinkstream {
namespace {

// Brackets within strings do not count. What it says of malformed text matters little.
bool IsNestedTooDeeply(std::string_view text) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"') {
      in_string = !in_string;
    } else if (in_string) {
      if (c == '\\') ++i;
    } else if (c == '[' || c == '{') {
      if (++depth > kMaxJsonDepth) return true;
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return false;
}

}  // namespace

// The library parses without recursion, but copies and writes with it: depth would end in a
// stack overflow there.
absl::StatusOr<nlohmann::json> ParseJsonDocument(std::string_view text) {
  if (IsNestedTooDeeply(text)) {
    return absl::InvalidArgumentError(
        absl::StrCat("is nested too deeply: more than ", kMaxJsonDepth, " levels"));
  }
  nlohmann::json document = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (document.is_discarded()) return absl::InvalidArgumentError("is not valid JSON");
  return document;
}

}  // namespace sinkstream
