// PreTokenizer: cuts a text into the pieces ("words") that byte-pair encoding works on, as the
// pre_tokenizer of a tokenizer.json says. Immutable; any thread.
//
// Supported: ByteLevel (add_prefix_space false, use_regex true or false), Digits, Split (pattern
// Regex or String, behavior Isolated, invert false), and a Sequence of these with one ByteLevel, at
// its end.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/text/regex.h"
#include "nlohmann/json_fwd.hpp"

namespace sinkstream {

class PreTokenizer {
 public:
  // INVALID_ARGUMENT names the component or the option that is not supported.
  static absl::StatusOr<PreTokenizer> Parse(const nlohmann::json& pre_tokenizer);

  // The pieces of `text`, in order; together they are `text`. Requires: valid UTF-8.
  std::vector<std::string_view> Split(std::string_view text) const;

  // True if there is a cut, whatever surrounds it, where a letter is followed by no letter and a
  // number (\p{N}) by no number, and neither side's pieces depend on the other side. Known of the
  // patterns of GPT-2, LLaMA-3 and Qwen2, also behind Digits; false for every other.
  bool CutsAfterWords() const { return cuts_after_words_; }

 private:
  struct Digits {
    bool individual = false;
  };
  struct Literal {
    std::string text;
  };
  struct Pattern {
    Regex regex;
    bool known = false;  // CutsAfterWords holds for it
  };
  using Stage = std::variant<Digits, Literal, Pattern>;

  PreTokenizer() = default;
  absl::Status Add(const nlohmann::json& component);
  absl::Status AddByteLevel(const nlohmann::json& component);
  absl::Status AddDigits(const nlohmann::json& component);
  absl::Status AddSplit(const nlohmann::json& component);
  absl::Status AddPattern(std::string_view pattern);
  bool FirstPatternIsKnown() const;
  // Appends where `stage` cuts `piece`; `known_piece` is the piece for regular expressions
  // (WithKnownCategories).
  static void CutByStage(const Stage& stage, std::string_view piece, std::string_view known_piece,
                         std::vector<size_t>& ends);

  std::vector<Stage> stages_;
  bool has_byte_level_ = false;
  bool cuts_after_words_ = false;
};

}  // namespace sinkstream
