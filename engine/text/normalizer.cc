#include "engine/text/normalizer.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/text/json_fields.h"
#include "engine/text/utf8.h"
#include "nlohmann/json.hpp"

namespace sinkstream {
namespace {

using nlohmann::json;

constexpr std::pair<const char*, NormalizationForm> kForms[] = {{"NFC", NormalizationForm::kNfc},
                                                                {"NFD", NormalizationForm::kNfd},
                                                                {"NFKC", NormalizationForm::kNfkc},
                                                                {"NFKD", NormalizationForm::kNfkd}};

}  // namespace

absl::StatusOr<Normalizer> Normalizer::Parse(const json& normalizer) {
  Normalizer result;
  if (normalizer.is_null()) return result;
  const json single = json::array({normalizer});
  const json* components = &single;
  if (TypeOf(normalizer) == "Sequence") {
    components = FindField(normalizer, "normalizers");
    if (components == nullptr || !components->is_array()) {
      return absl::InvalidArgumentError("normalizer Sequence: normalizers is missing");
    }
  }
  for (const json& component : *components) {
    if (absl::Status status = result.Add(component); !status.ok()) return status;
  }
  return result;
}

absl::Status Normalizer::Add(const json& component) {
  const std::string type = TypeOf(component);
  for (const auto& [name, form] : kForms) {
    if (type != name) continue;
    steps_.emplace_back(form);
    return absl::OkStatus();
  }
  if (type == "Prepend") {
    const std::string* text = FindString(component, "prepend");
    if (text == nullptr)
      return absl::InvalidArgumentError("normalizer Prepend: prepend is no text");
    steps_.emplace_back(Prepend{*text});
    return absl::OkStatus();
  }
  if (type != "Replace") {
    return absl::InvalidArgumentError(absl::StrCat("normalizer ", type, " is not supported"));
  }
  const json* pattern = FindField(component, "pattern");
  const std::string* literal = pattern == nullptr ? nullptr : FindString(*pattern, "String");
  const std::string* content = FindString(component, "content");
  if (literal == nullptr || literal->empty() || content == nullptr) {
    return absl::InvalidArgumentError(
        "normalizer Replace: supported with a pattern String that is not empty and a content");
  }
  steps_.emplace_back(Replace{*literal, *content});
  return absl::OkStatus();
}

std::string Normalizer::Apply(std::string_view text, Place place) const {
  std::string normalized(text);
  for (const Step& step : steps_) {
    if (const auto* form = std::get_if<NormalizationForm>(&step)) {
      normalized = NormalizeUnicode(normalized, *form);
    } else if (const auto* replace = std::get_if<Replace>(&step)) {
      normalized = ReplaceAll(normalized, replace->pattern, replace->content);
    } else if (place != Place::kWithinText && !normalized.empty()) {
      normalized.insert(0, std::get<Prepend>(step).text);
    }
  }
  return normalized;
}

bool Normalizer::IsBoundary(std::string_view text, size_t at) const {
  return std::all_of(steps_.begin(), steps_.end(), [&](const Step& step) {
    if (const auto* form = std::get_if<NormalizationForm>(&step)) {
      return IsNormalizationBoundary(text, at, *form);
    }
    const auto* replace = std::get_if<Replace>(&step);
    return replace == nullptr || (replace->pattern == " " && replace->content == kMetaspace);
  });
}

bool Normalizer::Prepends() const {
  return std::any_of(steps_.begin(), steps_.end(),
                     [](const Step& step) { return std::holds_alternative<Prepend>(step); });
}

bool Normalizer::MayMoveStart() const {
  return std::any_of(steps_.begin(), steps_.end(), [](const Step& step) {
    const auto* replace = std::get_if<Replace>(&step);
    if (replace == nullptr) return false;
    const bool one_character = FirstCodePoint(replace->pattern).size == replace->pattern.size();
    return !one_character || replace->content.empty();
  });
}

std::string ReplaceAll(std::string_view text, std::string_view pattern, std::string_view content) {
  std::string replaced;
  size_t begin = 0;
  for (size_t at = text.find(pattern); at != std::string_view::npos;
       at = text.find(pattern, begin)) {
    replaced.append(text.substr(begin, at - begin)).append(content);
    begin = at + pattern.size();
  }
  return replaced.append(text.substr(begin));
}

}  // namespace sinkstream
