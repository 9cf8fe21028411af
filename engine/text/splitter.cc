#include "engine/text/splitter.h"

#include <cstdio>
#include <mutex>
#include <utility>

#include "engine/text/utf8.h"

namespace sinkstream {
namespace {

// The pieces then are not those that the model was trained with: whoever runs it must know.
void ReportOnce(const absl::Status& status) {
  static std::once_flag reported;
  std::call_once(reported, [&] {
    std::fprintf(stderr, "pre_tokenizer: the rest of a text is left as one piece: %s\n",
                 status.ToString().c_str());
  });
}

}  // namespace

Splitter::Splitter(std::variant<CharacterTest, Literal, Regex> pattern, Behavior behavior)
    : pattern_(std::move(pattern)), behavior_(behavior) {}

std::vector<Splitter::Segment> Splitter::Match(std::string_view piece,
                                               std::string_view known_piece) const {
  std::vector<Segment> segments;
  size_t last = 0;
  const auto add = [&](size_t begin, size_t end) {
    if (last < begin) segments.push_back({begin, false});
    segments.push_back({end, true});
    last = end;
  };
  if (const auto* test = std::get_if<CharacterTest>(&pattern_)) {
    for (size_t i = 0; i < piece.size();) {
      const CodePoint character = FirstCodePoint(piece.substr(i));
      if ((*test)(character.value)) add(i, i + character.size);
      i += character.size;
    }
  } else if (const auto* literal = std::get_if<Literal>(&pattern_)) {
    for (size_t at = piece.find(*literal); at != std::string_view::npos;
         at = piece.find(*literal, at + literal->size())) {
      add(at, at + literal->size());
    }
  } else {
    Regex::Matches matches(std::get<Regex>(pattern_), known_piece);
    while (const auto match = matches.Next()) add(match->first, match->second);
    if (!matches.status().ok()) ReportOnce(matches.status());
  }
  if (last < piece.size()) segments.push_back({piece.size(), false});
  return segments;
}

void Splitter::Cut(std::string_view piece, std::string_view known_piece,
                   std::vector<size_t>& ends) const {
  const std::vector<Segment> segments = Match(piece, known_piece);
  size_t last_end = 0;
  for (size_t i = 0; i < segments.size(); ++i) {
    const bool last = i + 1 == segments.size();
    const bool match = segments[i].match;
    const bool next = !last && segments[i + 1].match;
    const bool joins_next = (behavior_ == Behavior::kContiguous && match == next) ||
                            (behavior_ == Behavior::kMergedWithPrevious && !match && next) ||
                            (behavior_ == Behavior::kMergedWithNext && match && !next);
    if ((!last && joins_next) || segments[i].end == last_end) continue;  // matches may be empty
    last_end = segments[i].end;
    ends.push_back(last_end);
  }
}

}  // namespace sinkstream
