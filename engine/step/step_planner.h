// Decides what one model step feeds: the decode rows of every session that may go on, and chunks of
// prompts in what is left. A pure function from a snapshot to a plan; step_runner.h carries it out.
//
// Rules: every sequence that decodes gets a row first, unless there are more than fit: then those
// planned longest ago. While no prompt waits, each gets rows for its guesses too, as far as they
// fit. While anyone decodes, prompts get at most `prefill_chunk` rows in all, so that a long prompt
// delays a decode by one chunk at most; with nobody decoding they get the whole step. Prompts share
// it evenly, the one planned longest ago first. Prompts are never starved: as long as one waits,
// decode rows leave it a part of the step. Rows that score are bounded apart, as each gives a
// vocabulary of logits; the first in turn takes what its share allows. While anyone decodes, such a
// row counts for `scored_row_cost` rows of a chunk, so that scoring delays a decode no longer than
// reading.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "absl/types/span.h"

namespace sinkstream {

struct StepBudget {
  int32_t step_tokens = 2;    // rows of a step, >= 2, so that prompts get one beside decodes
  int32_t prefill_chunk = 1;  // prefill rows of a step while any session decodes, >= 1
  int32_t max_prefills = 1;   // sessions that prefill in one step, >= 1
  int32_t score_rows = 1;     // rows of a step that score, >= 1
  // In rows without logits, >= 1. The vocabulary's logits take less than the rest of a row; their
  // exponentials, on one thread, make up for it, roughly.
  int32_t scored_row_cost = 2;
  // Of the rows that score, those whose distributions may be told, >= 0.
  int64_t distributions = std::numeric_limits<int64_t>::max();
};

// A session that has something to feed.
struct StepCandidate {
  int32_t index = 0;        // the caller's name for it
  bool decodes = false;     // else it prefills
  int64_t prompt_left = 0;  // tokens still to be read, when it prefills; >= 1
  int32_t guesses = 0;      // that it would like to have verified, when it decodes
  // Serial number of its latest place in a plan: the lower, the longer ago.
  uint64_t planned_at = 0;
  // The first so many rows of the prompt do not score. Those behind them do: their logits are
  // wanted.
  int64_t rows_before_scored = std::numeric_limits<int64_t>::max();
  bool tells_distributions = false;  // the rows that score do
};

struct PlannedRows {
  int32_t index = 0;
  int32_t rows = 0;
  friend bool operator==(const PlannedRows&, const PlannedRows&) = default;
};

// Replaces `plan`: decode rows first, then prefill chunks. Empty only if there are no candidates,
// or all of them wait for `distributions`. Sorts `candidates`. Takes memory only for what `plan`
// lacks.
void PlanStep(absl::Span<StepCandidate> candidates, const StepBudget& budget,
              std::vector<PlannedRows>& plan);

}  // namespace sinkstream
