// Normalizer: what the normalizer of a tokenizer.json does to a run of text before it is cut into
// words. Immutable; any thread.
//
// Supported: NFC, NFD, NFKC, NFKD, Prepend, Replace of a String, and a Sequence of these.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/text/place.h"
#include "engine/text/unicode_normalization.h"
#include "nlohmann/json_fwd.hpp"

namespace sinkstream {

// The character that stands for a space in SentencePiece's vocabularies: U+2581.
inline constexpr std::string_view kMetaspace = "\u2581";

class Normalizer {
 public:
  // Of null: changes nothing. INVALID_ARGUMENT names the component that is not supported.
  static absl::StatusOr<Normalizer> Parse(const nlohmann::json& normalizer);

  // What Prepend puts before a run is left out within a text. Requires: valid UTF-8.
  std::string Apply(std::string_view text, Place place) const;

  // True if what is on one side of `at` does not change what the other side becomes, the right one
  // within a text. Some such places may be missed. Requires: a character begins at `at`,
  // 0 < at < text.size().
  bool IsBoundary(std::string_view text, size_t at) const;

  // True if it puts something before a run behind a token.
  bool Prepends() const;

  // True if it may replace the start of a text by nothing, or several characters at once: the
  // package then takes the text to begin behind its start, where Metaspace `first` puts no space.
  bool MayMoveStart() const;

 private:
  struct Prepend {
    std::string text;
  };
  struct Replace {
    std::string pattern, content;
  };
  using Step = std::variant<NormalizationForm, Prepend, Replace>;

  absl::Status Add(const nlohmann::json& component);

  std::vector<Step> steps_;
};

// Writes `content` for each `pattern` in `text`, which is not empty.
std::string ReplaceAll(std::string_view text, std::string_view pattern, std::string_view content);

}  // namespace sinkstream
