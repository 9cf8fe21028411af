#include "client/eval/recall_plan.h"

#include <algorithm>
#include <array>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace sinkstream::eval {
namespace {

constexpr std::array kWords = {"velvet", "copper", "lemon",  "thunder", "garden",
                               "silver", "window", "pepper", "ocean",   "candle",
                               "mirror", "winter", "falcon", "blanket", "honey",
                               "rocket", "temple", "marble", "violin",  "dragon"};
constexpr std::array kColours = {"red",  "blue",  "green",  "black",  "white",
                                 "pink", "brown", "yellow", "purple", "grey"};
constexpr std::array kThings = {"door", "gate",  "box",   "safe", "tower", "boat",
                                "room", "house", "train", "shop", "cabin", "tent"};

// Of filler between facts at least.
constexpr int64_t kBreath = 16;

// Facts come once in `slot` tokens, at its beginning; questions at `question` of a slot.
struct Slots {
  int64_t length = 0;
  int64_t question = 0;
};

// The shortest slots in which no question meets a fact.
Slots PlanSlots(int64_t statement, int64_t question, int64_t distance) {
  for (int64_t length = statement + question + kBreath;; ++length) {
    const int64_t place = (statement + distance) % length;
    if (place >= statement && place + question <= length) return {length, place};
  }
}

struct Piece {
  int64_t begin;
  size_t fact;
  bool asks;
};

std::vector<Piece> PlanPieces(std::span<const FactIds> facts, int64_t distance, int64_t lead) {
  int64_t statement = 0;
  int64_t question = 0;
  for (const FactIds& fact : facts) {
    statement = std::max(statement, std::ssize(fact.statement));
    question = std::max(question, std::ssize(fact.question) + std::ssize(fact.answer));
  }
  const Slots slots = PlanSlots(statement, question, distance);
  std::vector<Piece> pieces;
  for (size_t i = 0; i < facts.size(); ++i) {
    const int64_t end = lead + static_cast<int64_t>(i) * slots.length + statement;
    pieces.push_back({end - std::ssize(facts[i].statement), i, false});
    pieces.push_back({end + distance, i, true});
  }
  std::sort(pieces.begin(), pieces.end(),
            [](const Piece& a, const Piece& b) { return a.begin < b.begin; });
  return pieces;
}

}  // namespace

std::span<const char* const> RecallWords() { return kWords; }

size_t MostFacts() { return kColours.size() * kThings.size(); }

Fact MakeFact(size_t i, std::span<const size_t> words) {
  // 12 and 10: the same pair comes again after 60, so the colour moves on by one then.
  const std::string subject = absl::StrCat(kColours.at((i + i / 60) % kColours.size()), " ",
                                           kThings.at(i % kThings.size()));
  Fact fact;
  fact.word = words[i % words.size()];
  fact.question = absl::StrCat("\nThe access word of the ", subject, " is");
  fact.answer = absl::StrCat(" ", kWords.at(fact.word));
  fact.statement = absl::StrCat(fact.question, fact.answer, ".\n");
  return fact;
}

absl::StatusOr<RecallStream> MakeRecallStream(std::span<const FactIds> facts, int64_t distance,
                                              int64_t lead, std::span<const int32_t> filler) {
  RecallStream stream;
  const auto append = [&](std::span<const int32_t> ids) {
    stream.ids.insert(stream.ids.end(), ids.begin(), ids.end());
  };
  const size_t available = filler.size();
  for (const Piece& piece : PlanPieces(facts, distance, lead)) {
    const auto gap = static_cast<size_t>(piece.begin - std::ssize(stream.ids));
    if (gap > filler.size()) {
      return absl::InvalidArgumentError(absl::StrCat("the text has ", available,
                                                     " tokens: too few for ", facts.size(),
                                                     " facts at a distance of ", distance));
    }
    append(filler.first(gap));
    filler = filler.subspan(gap);
    const FactIds& fact = facts[piece.fact];
    append(piece.asks ? fact.question : fact.statement);
    if (!piece.asks) continue;
    stream.questions.push_back({piece.fact, std::ssize(stream.ids)});
    append(fact.answer);
  }
  return stream;
}

}  // namespace sinkstream::eval
