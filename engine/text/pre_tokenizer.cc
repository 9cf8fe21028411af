#include "engine/text/pre_tokenizer.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/text/byte_level.h"
#include "engine/text/json_fields.h"
#include "engine/text/normalizer.h"
#include "engine/text/unicode.h"
#include "engine/text/utf8.h"
#include "nlohmann/json.hpp"

namespace sinkstream {
namespace {

using nlohmann::json;
using Behavior = Splitter::Behavior;
using Cuts = PreTokenizer::Cuts;

constexpr std::string_view kGpt2 =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr std::string_view kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
    R"(\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
    R"(\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kBloom = R"( ?[^(\s|[.,!?…。，、।۔،])]+)";

// True if the matches of `pattern` leave nothing out of any text.
bool IsTotal(std::string_view pattern) {
  return pattern == kGpt2 || pattern == kLlama3 || pattern == kQwen2;
}

Cuts CutsOf(std::string_view pattern, Behavior behavior) {
  if (behavior != Behavior::kIsolated) return Cuts::kUnknown;
  if (IsTotal(pattern)) return Cuts::kAfterWords;
  return pattern == kBloom ? Cuts::kBeforeSpaces : Cuts::kUnknown;
}

absl::Status PreTokenizerFault(const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat("pre_tokenizer ", what));
}

absl::StatusOr<Behavior> ParseBehavior(const json& component, const std::string& type) {
  constexpr std::pair<const char*, Behavior> kBehaviors[] = {
      {"Isolated", Behavior::kIsolated},
      {"Contiguous", Behavior::kContiguous},
      {"MergedWithPrevious", Behavior::kMergedWithPrevious},
      {"MergedWithNext", Behavior::kMergedWithNext}};
  const std::string* name = FindString(component, "behavior");
  for (const auto& [known, behavior] : kBehaviors) {
    if (name != nullptr && *name == known) return behavior;
  }
  return PreTokenizerFault(
      absl::StrCat(type, ": behavior ", name == nullptr ? "null" : *name, " is not supported"));
}

// A text in the alphabet of ByteLevel, and where each of its bytes stands there.
struct ByteLevelText {
  std::string text;
  std::vector<size_t> begins;  // by byte of the plain text; its end too

  explicit ByteLevelText(std::string_view plain) {
    begins.reserve(plain.size() + 1);
    for (const char byte : plain) {
      begins.push_back(text.size());
      text += ByteLevelCharacter(static_cast<uint8_t>(byte));
    }
    begins.push_back(text.size());
  }
  size_t PlainOffset(size_t at) const {
    return std::lower_bound(begins.begin(), begins.end(), at) - begins.begin();
  }
};

// Cuts the pieces that end at `ends` by one stage more.
void CutByStage(const Splitter& stage, std::string_view text, std::string_view known,
                std::vector<size_t>& ends) {
  std::vector<size_t> next;
  std::vector<size_t> cuts;
  size_t begin = 0;
  for (const size_t end : ends) {
    cuts.clear();
    stage.Cut(text.substr(begin, end - begin), known.substr(begin, end - begin), cuts);
    for (const size_t cut : cuts) next.push_back(begin + cut);
    begin = end;
  }
  ends = std::move(next);
}

}  // namespace

absl::StatusOr<PreTokenizer> PreTokenizer::Parse(const json& pre_tokenizer) {
  PreTokenizer result;
  if (pre_tokenizer.is_null()) return result;
  const json single = json::array({pre_tokenizer});
  const json* components = &single;
  if (TypeOf(pre_tokenizer) == "Sequence") {
    components = FindField(pre_tokenizer, "pretokenizers");
    if (components == nullptr || !components->is_array()) {
      return PreTokenizerFault("Sequence: pretokenizers is missing");
    }
  }
  for (const json& component : *components) {
    if (absl::Status status = result.Add(component); !status.ok()) return status;
  }
  if (result.IsByteLevel() && result.known_cuts_ == Cuts::kLocal) {
    result.known_cuts_ = Cuts::kUnknown;
  }
  return result;
}

absl::Status PreTokenizer::Add(const json& component) {
  const std::string type = TypeOf(component);
  if (metaspace_) return PreTokenizerFault(absl::StrCat(type, " after Metaspace is not supported"));
  if (type == "ByteLevel") return AddByteLevel(component);
  if (type == "Digits") return AddDigits(component);
  if (type == "Punctuation") return AddPunctuation(component);
  if (type == "Metaspace") return AddMetaspace(component);
  if (type == "Split") return AddSplit(component);
  return PreTokenizerFault(absl::StrCat(type, " is not supported"));
}

absl::Status PreTokenizer::AddByteLevel(const json& component) {
  if (IsByteLevel()) return PreTokenizerFault("ByteLevel is there twice");
  if (!HasBool(component, "add_prefix_space", false)) {
    return PreTokenizerFault("ByteLevel: add_prefix_space must be false");
  }
  absl::Status status;
  if (!HasBool(component, "use_regex", false)) status = AddRegex(kGpt2, Behavior::kIsolated);
  byte_level_stage_ = stages_.size();
  return status;
}

absl::Status PreTokenizer::AddDigits(const json& component) {
  const bool individual = HasBool(component, "individual_digits", true);
  if (!individual && !HasBool(component, "individual_digits", false)) {
    return PreTokenizerFault("Digits: individual_digits must be given");
  }
  stages_.emplace_back(&IsNumeric, individual ? Behavior::kIsolated : Behavior::kContiguous);
  return absl::OkStatus();
}

absl::Status PreTokenizer::AddPunctuation(const json& component) {
  const absl::StatusOr<Behavior> behavior = ParseBehavior(component, "Punctuation");
  if (!behavior.ok()) return behavior.status();
  stages_.emplace_back(&IsPunctuation, *behavior);
  return absl::OkStatus();
}

absl::Status PreTokenizer::AddMetaspace(const json& component) {
  if (!stages_.empty()) return PreTokenizerFault("Metaspace is supported alone");
  const std::string* replacement = FindString(component, "replacement");
  if (replacement == nullptr || *replacement != kMetaspace) {
    return PreTokenizerFault(
        absl::StrCat("Metaspace: replacement must be ", std::string(kMetaspace)));
  }
  const std::string* scheme = FindString(component, "prepend_scheme");
  const bool prefix = !HasBool(component, "add_prefix_space", false);  // the older form
  const std::string name = scheme != nullptr ? *scheme : prefix ? "always" : "never";
  if (name != "first" && name != "always" && name != "never") {
    return PreTokenizerFault(absl::StrCat("Metaspace: prepend_scheme ", name, " is not supported"));
  }
  metaspace_ = name == "first"    ? Prepend::kFirst
               : name == "always" ? Prepend::kAlways
                                  : Prepend::kNever;
  if (!HasBool(component, "split", false)) {
    stages_.emplace_back(std::string(kMetaspace), Behavior::kMergedWithNext);
  }
  return absl::OkStatus();
}

absl::Status PreTokenizer::AddSplit(const json& component) {
  const json* pattern = FindField(component, "pattern");
  const std::string* regex = pattern == nullptr ? nullptr : FindString(*pattern, "Regex");
  const std::string* name = FindString(component, "behavior");
  const bool removed = name != nullptr && *name == "Removed";
  if (removed && regex != nullptr && IsTotal(*regex) && HasBool(component, "invert", true)) {
    return AddRegex(*regex, Behavior::kIsolated);  // what is between matches: nothing
  }
  const absl::StatusOr<Behavior> behavior = ParseBehavior(component, "Split");
  if (!behavior.ok()) return behavior.status();
  if (!HasBool(component, "invert", false)) return PreTokenizerFault("Split: invert must be false");
  if (regex != nullptr) return AddRegex(*regex, *behavior);
  const std::string* literal = pattern == nullptr ? nullptr : FindString(*pattern, "String");
  if (literal == nullptr || literal->empty()) {
    return PreTokenizerFault("Split: pattern must be a Regex or a String that is not empty");
  }
  const bool one_character = FirstCodePoint(*literal).size == literal->size();
  if (known_cuts_ == Cuts::kLocal && !one_character) known_cuts_ = Cuts::kUnknown;
  stages_.emplace_back(*literal, *behavior);
  return absl::OkStatus();
}

// Whatever comes after the first pattern sees each of its pieces alone. What is known of patterns
// is of text, not of the alphabet of ByteLevel.
absl::Status PreTokenizer::AddRegex(std::string_view pattern, Behavior behavior) {
  absl::StatusOr<Regex> regex = Regex::Compile(pattern);
  if (!regex.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("pre_tokenizer: ", std::string(regex.status().message())));
  }
  if (known_cuts_ == Cuts::kLocal) {
    known_cuts_ = IsByteLevel() ? Cuts::kUnknown : CutsOf(pattern, behavior);
  }
  stages_.emplace_back(*std::move(regex), behavior);
  return absl::OkStatus();
}

std::vector<std::string_view> PreTokenizer::Split(std::string& text, Place place) const {
  if (text.empty()) return {};
  if (metaspace_) {
    text = ReplaceAll(text, " ", kMetaspace);
    const bool prepends = (metaspace_ == Prepend::kAlways && place != Place::kWithinText) ||
                          (metaspace_ == Prepend::kFirst && place == Place::kStart);
    if (prepends && !text.starts_with(kMetaspace)) text.insert(0, kMetaspace);
  }
  std::string buffer;
  const std::string_view known = WithKnownCategories(text, buffer);
  std::vector<size_t> ends = {text.size()};
  const size_t plain_stages = byte_level_stage_.value_or(stages_.size());
  for (size_t i = 0; i < plain_stages; ++i) CutByStage(stages_[i], text, known, ends);
  if (plain_stages < stages_.size()) {
    const ByteLevelText byte_level(text);
    for (size_t& end : ends) end = byte_level.begins[end];
    for (size_t i = plain_stages; i < stages_.size(); ++i) {
      CutByStage(stages_[i], byte_level.text, byte_level.text, ends);
    }
    for (size_t& end : ends) end = byte_level.PlainOffset(end);
  }
  std::vector<std::string_view> pieces;
  pieces.reserve(ends.size());
  for (size_t i = 0, begin = 0; i < ends.size(); begin = ends[i++]) {
    pieces.push_back(std::string_view(text).substr(begin, ends[i] - begin));
  }
  return pieces;
}

}  // namespace sinkstream
