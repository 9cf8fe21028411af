// PreTokenizer: cuts a run of normalized text into the pieces ("words") that byte-pair merges work
// on, as the pre_tokenizer of a tokenizer.json says. Immutable; any thread.
//
// Supported: ByteLevel (add_prefix_space false, use_regex true or false), Digits, Punctuation and
// Split (pattern Regex or String, invert false, behaviors but Removed; or Removed and inverted with
// the pattern of GPT-2, LLaMA 3 or Qwen 2), and a Sequence of these with one ByteLevel; what
// follows ByteLevel sees the characters of its alphabet, one a byte. Without ByteLevel: Metaspace
// (`first` not behind a Replace of several characters or by nothing), or none, or Split, Digits and
// Punctuation alone.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/text/place.h"
#include "engine/text/splitter.h"
#include "nlohmann/json_fwd.hpp"

namespace sinkstream {

class PreTokenizer {
 public:
  PreTokenizer() = default;  // a text is one piece

  // INVALID_ARGUMENT names the component or the option that is not supported.
  static absl::StatusOr<PreTokenizer> Parse(const nlohmann::json& pre_tokenizer);

  // The pieces of `text`, in order: views of it. Metaspace changes `text` first: its spaces, and
  // what it puts before a run at `place`. With ByteLevel pieces may end within a character.
  // Requires: valid UTF-8.
  std::vector<std::string_view> Split(std::string& text, Place place) const;

  bool IsByteLevel() const { return byte_level_stage_.has_value(); }
  bool HasMetaspace() const { return metaspace_.has_value(); }

  // What is known of where it cuts, so that neither side's pieces depend on the other side.
  enum class Cuts {
    kUnknown,
    kLocal,         // wherever it cuts, that depends on the two characters there alone
    kBeforeSpaces,  // it cuts between a letter or number and a space
    kAfterWords,    // it cuts where a letter is followed by no letter, a number by no number
  };
  Cuts KnownCuts() const { return known_cuts_; }

  // True if it puts a space before a run behind a token.
  bool Prepends() const { return metaspace_ == Prepend::kAlways; }

  // True if it puts a space before a run behind nothing, and only there.
  bool PrependsFirst() const { return metaspace_ == Prepend::kFirst; }

 private:
  enum class Prepend { kFirst, kAlways, kNever };

  absl::Status Add(const nlohmann::json& component);
  absl::Status AddByteLevel(const nlohmann::json& component);
  absl::Status AddDigits(const nlohmann::json& component);
  absl::Status AddPunctuation(const nlohmann::json& component);
  absl::Status AddMetaspace(const nlohmann::json& component);
  absl::Status AddSplit(const nlohmann::json& component);
  absl::Status AddRegex(std::string_view pattern, Splitter::Behavior behavior);

  std::optional<Prepend> metaspace_;
  std::vector<Splitter> stages_;
  std::optional<size_t> byte_level_stage_;  // the first stage after ByteLevel
  Cuts known_cuts_ = Cuts::kLocal;
};

}  // namespace sinkstream
