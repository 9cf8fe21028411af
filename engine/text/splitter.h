// Splitter: one step of a pre-tokenizer, a pattern and what becomes of its matches. Immutable; any
// thread. Where a regular expression gives up (Regex::Matches::status), the rest of the text is one
// piece, and standard error is told so, once a process.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "engine/text/regex.h"

namespace sinkstream {

class Splitter {
 public:
  // A match is a piece of its own, or joins its neighbours: other matches (what is not matched
  // becomes one piece between them), the piece before it, or the piece after it.
  enum class Behavior { kIsolated, kContiguous, kMergedWithPrevious, kMergedWithNext };
  // Matches single characters, as Digits and Punctuation do.
  using CharacterTest = bool (*)(uint32_t code_point);
  // The text that is matched; not empty.
  using Literal = std::string;

  Splitter(std::variant<CharacterTest, Literal, Regex> pattern, Behavior behavior);

  // Appends the ends of the pieces of `piece`, in order, the last one's included; there are no
  // empty pieces. `known_piece`: `piece` for regular expressions (WithKnownCategories). Requires:
  // not empty.
  void Cut(std::string_view piece, std::string_view known_piece, std::vector<size_t>& ends) const;

 private:
  struct Segment {
    size_t end;
    bool match;
  };
  std::vector<Segment> Match(std::string_view piece, std::string_view known_piece) const;

  std::variant<CharacterTest, Literal, Regex> pattern_;
  Behavior behavior_;
};

}  // namespace sinkstream
