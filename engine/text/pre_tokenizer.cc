#include "engine/text/pre_tokenizer.h"

#include <array>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/text/json_fields.h"
#include "engine/text/unicode.h"
#include "engine/text/utf8.h"
#include "nlohmann/json.hpp"

namespace sinkstream {
namespace {

using nlohmann::json;

constexpr std::string_view kGpt2 =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr std::string_view kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
    R"(\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
    R"(\s*[\r\n]+|\s+(?!\S)|\s+)";

// Collects where a piece is cut; empty pieces do not come to be.
class Cutter {
 public:
  explicit Cutter(std::vector<size_t>& ends) : ends_(ends) {}
  void CutAt(size_t end) {
    if (end == last_) return;
    ends_.push_back(end);
    last_ = end;
  }

 private:
  std::vector<size_t>& ends_;
  size_t last_ = 0;
};

// The functions below give the ends of the pieces of `piece`, but for its own end.

void CutNumbers(std::string_view piece, bool individual, std::vector<size_t>& ends) {
  Cutter cutter(ends);
  bool was_numeric = false;
  for (size_t i = 0; i < piece.size();) {
    const CodePoint character = FirstCodePoint(piece.substr(i));
    const bool numeric = IsNumeric(character.value);
    if (numeric != was_numeric || (numeric && individual)) cutter.CutAt(i);
    was_numeric = numeric;
    i += character.size;
  }
}

void CutAroundLiteral(std::string_view piece, std::string_view literal, std::vector<size_t>& ends) {
  Cutter cutter(ends);
  size_t at = piece.find(literal);
  for (; at != std::string_view::npos; at = piece.find(literal, at + literal.size())) {
    cutter.CutAt(at);
    cutter.CutAt(at + literal.size());
  }
}

void CutAroundMatches(std::string_view piece, const Regex& regex, std::vector<size_t>& ends) {
  Cutter cutter(ends);
  Regex::Matches matches(regex, piece);
  while (const auto match = matches.Next()) {
    cutter.CutAt(match->first);
    cutter.CutAt(match->second);
  }
}

}  // namespace

absl::StatusOr<PreTokenizer> PreTokenizer::Parse(const json& pre_tokenizer) {
  PreTokenizer result;
  const json single = json::array({pre_tokenizer});
  const json* components = &single;
  if (TypeOf(pre_tokenizer) == "Sequence") {
    components = FindField(pre_tokenizer, "pretokenizers");
    if (components == nullptr || !components->is_array()) {
      return absl::InvalidArgumentError("pre_tokenizer Sequence: pretokenizers is missing");
    }
  }
  for (const json& component : *components) {
    if (absl::Status status = result.Add(component); !status.ok()) return status;
  }
  if (!result.has_byte_level_) {
    return absl::InvalidArgumentError("pre_tokenizer: not supported without ByteLevel at its end");
  }
  result.cuts_after_words_ = result.FirstPatternIsKnown();
  return result;
}

absl::Status PreTokenizer::Add(const json& component) {
  const std::string type = TypeOf(component);
  if (has_byte_level_) {
    return absl::InvalidArgumentError(absl::StrCat("pre_tokenizer ", type, " after ByteLevel"));
  }
  if (type == "ByteLevel") return AddByteLevel(component);
  if (type == "Digits") return AddDigits(component);
  if (type == "Split") return AddSplit(component);
  return absl::InvalidArgumentError(absl::StrCat("pre_tokenizer ", type, " is not supported"));
}

absl::Status PreTokenizer::AddByteLevel(const json& component) {
  if (!HasBool(component, "add_prefix_space", false)) {
    return absl::InvalidArgumentError("pre_tokenizer ByteLevel: add_prefix_space must be false");
  }
  has_byte_level_ = true;
  if (HasBool(component, "use_regex", false)) return absl::OkStatus();
  return AddPattern(kGpt2);
}

absl::Status PreTokenizer::AddDigits(const json& component) {
  const bool individual = HasBool(component, "individual_digits", true);
  if (!individual && !HasBool(component, "individual_digits", false)) {
    return absl::InvalidArgumentError("pre_tokenizer Digits: individual_digits must be given");
  }
  stages_.emplace_back(Digits{individual});
  return absl::OkStatus();
}

absl::Status PreTokenizer::AddSplit(const json& component) {
  const json* behavior = FindField(component, "behavior");
  if (behavior == nullptr || *behavior != "Isolated") {
    return absl::InvalidArgumentError("pre_tokenizer Split: behavior must be Isolated");
  }
  if (!HasBool(component, "invert", false)) {
    return absl::InvalidArgumentError("pre_tokenizer Split: invert must be false");
  }
  const json* pattern = FindField(component, "pattern");
  const json* regex = pattern == nullptr ? nullptr : FindField(*pattern, "Regex");
  if (regex != nullptr && regex->is_string())
    return AddPattern(regex->get_ref<const std::string&>());
  const json* literal = pattern == nullptr ? nullptr : FindField(*pattern, "String");
  if (literal == nullptr || !literal->is_string() ||
      literal->get_ref<const std::string&>().empty()) {
    return absl::InvalidArgumentError(
        "pre_tokenizer Split: pattern must be a Regex or a String that is not empty");
  }
  stages_.emplace_back(Literal{literal->get<std::string>()});
  return absl::OkStatus();
}

absl::Status PreTokenizer::AddPattern(std::string_view pattern) {
  absl::StatusOr<Regex> regex = Regex::Compile(pattern);
  if (!regex.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("pre_tokenizer: ", std::string(regex.status().message())));
  }
  const bool known = pattern == kGpt2 || pattern == kLlama3 || pattern == kQwen2;
  stages_.emplace_back(Pattern{*std::move(regex), known});
  return absl::OkStatus();
}

// Digits cuts by single characters or their runs, which a cut after a word does not change; what
// comes after the first pattern sees each piece alone.
bool PreTokenizer::FirstPatternIsKnown() const {
  for (const Stage& stage : stages_) {
    if (const auto* pattern = std::get_if<Pattern>(&stage)) return pattern->known;
    if (std::holds_alternative<Literal>(stage)) return false;
  }
  return false;
}

void PreTokenizer::CutByStage(const Stage& stage, std::string_view piece,
                              std::string_view known_piece, std::vector<size_t>& ends) {
  if (const auto* digits = std::get_if<Digits>(&stage)) {
    CutNumbers(piece, digits->individual, ends);
  } else if (const auto* literal = std::get_if<Literal>(&stage)) {
    CutAroundLiteral(piece, literal->text, ends);
  } else {
    CutAroundMatches(known_piece, std::get<Pattern>(stage).regex, ends);
  }
}

std::vector<std::string_view> PreTokenizer::Split(std::string_view text) const {
  if (text.empty()) return {};
  std::string buffer;
  const std::string_view known = WithKnownCategories(text, buffer);
  std::vector<size_t> ends = {text.size()};
  std::vector<size_t> cuts;
  for (const Stage& stage : stages_) {
    std::vector<size_t> next;
    size_t begin = 0;
    for (size_t end : ends) {
      cuts.clear();
      CutByStage(stage, text.substr(begin, end - begin), known.substr(begin, end - begin), cuts);
      for (size_t cut : cuts) next.push_back(begin + cut);
      if (next.empty() || next.back() != end) next.push_back(end);
      begin = end;
    }
    ends = std::move(next);
  }
  std::vector<std::string_view> pieces;
  pieces.reserve(ends.size());
  for (size_t i = 0, begin = 0; i < ends.size(); begin = ends[i++]) {
    pieces.push_back(text.substr(begin, ends[i] - begin));
  }
  return pieces;
}

}  // namespace sinkstream
