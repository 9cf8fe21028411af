#include "client/tool/tokenize.h"

#include <algorithm>
#include <optional>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "client/tool/text_file.h"

namespace sinkstream {
namespace {

using Ids = std::vector<int32_t>;

// What is looked at on either side of a cut. Unit: bytes.
constexpr size_t kSight = 512;
// Places tried for one cut.
constexpr int kTries = 200;

// A piece ends at `end` and the next one begins at `next`.
struct Cut {
  size_t end = 0;
  size_t next = 0;
};

absl::StatusOr<bool> KeepsTokens(std::string_view text, Cut cut, const TokenizeFunction& tokenize) {
  size_t from = cut.end > kSight ? cut.end - kSight : 0;
  size_t to = std::min(text.size(), cut.next + kSight);
  while (!IsCharacterBoundary(text, from)) ++from;
  while (!IsCharacterBoundary(text, to)) --to;
  auto apart = tokenize(std::string(text.substr(from, cut.end - from)));
  if (!apart.ok()) return apart.status();
  const auto after = tokenize(std::string(text.substr(cut.next, to - cut.next)));
  if (!after.ok()) return after.status();
  apart->insert(apart->end(), after->begin(), after->end());
  const auto together = tokenize(std::string(text.substr(from, to - from)));
  if (!together.ok()) return together.status();
  return *apart == *together;
}

// The cuts worth trying at `offset`. A tokenizer that puts a space before each text takes the one
// of the text for its own: it is left out.
std::vector<Cut> CutsAt(std::string_view text, size_t offset) {
  if (text[offset] == ' ') return {{offset, offset}, {offset, offset + 1}};
  return {{offset, offset}};
}

bool BetweenWords(std::string_view text, size_t offset) {
  return text[offset] == ' ' || text[offset] == '\n';
}

bool AnyCharacter(std::string_view text, size_t offset) {
  return IsCharacterBoundary(text, offset);
}

// The last cut at or before `most` whose place is one of `places`.
absl::StatusOr<std::optional<Cut>> FindCut(std::string_view text, size_t most,
                                           bool (*places)(std::string_view, size_t),
                                           const TokenizeFunction& tokenize) {
  int tries = 0;
  for (size_t offset = most; offset > 0 && tries < kTries; --offset) {
    if (!places(text, offset) || offset + 1 >= text.size()) continue;
    for (const Cut cut : CutsAt(text, offset)) {
      ++tries;
      const auto keeps = KeepsTokens(text, cut, tokenize);
      if (!keeps.ok()) return keeps.status();
      if (*keeps) return cut;
    }
  }
  return std::nullopt;
}

absl::StatusOr<Cut> NextCut(std::string_view text, size_t piece_bytes,
                            const TokenizeFunction& tokenize) {
  if (text.size() <= piece_bytes) return Cut{text.size(), text.size()};
  for (const auto places : {BetweenWords, AnyCharacter}) {
    const auto tried = FindCut(text, piece_bytes, places, tokenize);
    if (!tried.ok()) return tried.status();
    if (const std::optional<Cut>& cut = *tried) return *cut;
  }
  return absl::InvalidArgumentError(absl::StrCat("the text has no place to cut it within ",
                                                 piece_bytes,
                                                 " bytes that leaves its tokens alone"));
}

}  // namespace

absl::StatusOr<Ids> TokenizeText(std::string_view text, int64_t count, size_t piece_bytes,
                                 const TokenizeFunction& tokenize) {
  Ids ids;
  while (!text.empty() && std::ssize(ids) < count) {
    const auto cut = NextCut(text, piece_bytes, tokenize);
    if (!cut.ok()) return cut.status();
    const auto piece = tokenize(std::string(text.substr(0, cut->end)));
    if (!piece.ok()) return piece.status();
    ids.insert(ids.end(), piece->begin(), piece->end());
    text.remove_prefix(cut->next);
  }
  if (std::ssize(ids) > count) ids.resize(static_cast<size_t>(count));
  return ids;
}

}  // namespace sinkstream
