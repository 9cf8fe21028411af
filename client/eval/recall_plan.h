// The stream of a recall test: facts strewn over a text, each asked for some distance later. Pure.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace sinkstream::eval {

// What is planted, as text: "\nThe access word of the red door is velvet.\n"; what is asked: the
// same up to "is"; and the answer: " velvet".
struct Fact {
  std::string statement;
  std::string question;
  std::string answer;
  size_t word = 0;  // of RecallWords()
};

// The words that are planted and told apart by a reply.
std::span<const char* const> RecallWords();

// The i-th fact. No two have the same subject; those near each other have different words of the
// `words`, which are places in RecallWords().
Fact MakeFact(size_t i, std::span<const size_t> words);
// Most facts that MakeFact can tell apart.
size_t MostFacts();

// Token ids of a fact. The answer's follow the question's.
struct FactIds {
  std::vector<int32_t> statement;
  std::vector<int32_t> question;
  std::vector<int32_t> answer;
};

struct Question {
  size_t fact = 0;
  int64_t answer_begin = 0;  // its place in the stream
};

struct RecallStream {
  std::vector<int32_t> ids;
  std::vector<Question> questions;  // as they come in the stream, one for each fact
};

// Between the end of each statement and its question lie exactly `distance` tokens: filler, and
// other facts and questions. The stream begins with `lead` tokens of filler. INVALID_ARGUMENT:
// there is not enough filler.
absl::StatusOr<RecallStream> MakeRecallStream(std::span<const FactIds> facts, int64_t distance,
                                              int64_t lead, std::span<const int32_t> filler);

}  // namespace sinkstream::eval
