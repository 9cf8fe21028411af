#include "engine/step/step_planner.h"

#include <algorithm>

namespace sinkstream {
namespace {

// Those that decode come first; of each kind, those planned longest ago, then by index.
bool GoesFirst(const StepCandidate& a, const StepCandidate& b) {
  if (a.decodes != b.decodes) return a.decodes;
  return a.planned_at != b.planned_at ? a.planned_at < b.planned_at : a.index < b.index;
}

// As long as a prompt waits the rows that decode leave it a part of the step.
int32_t DecodeRows(size_t decodes, bool prompts_wait, const StepBudget& budget) {
  const int32_t kept =
      prompts_wait ? std::min(budget.prefill_chunk, (budget.step_tokens + 3) / 4) : 0;
  return std::min(static_cast<int32_t>(decodes), std::max(budget.step_tokens - kept, 1));
}

// Of a prompt whose rows that score cost `cost` each and are at most `score_left`: what `share`
// pays, at least one.
int64_t ScoredRows(const StepCandidate& prompt, int64_t share, int64_t cost, int64_t score_left) {
  const int64_t paid = share - prompt.rows_before_scored;
  if (paid <= 0) return 0;
  const int64_t least = prompt.rows_before_scored == 0 ? 1 : 0;
  const int64_t rows = std::min(std::max(paid / cost, least), score_left);
  return std::clamp<int64_t>(prompt.prompt_left - prompt.rows_before_scored, 0, rows);
}

// Chunks of `prompts`, which cost `left` in all.
void PlanPrefills(absl::Span<const StepCandidate> prompts, int64_t left, int64_t scored_row_cost,
                  const StepBudget& budget, std::vector<PlannedRows>& plan) {
  int64_t score_left = budget.score_rows;
  int64_t distributions_left = budget.distributions;
  int64_t places = budget.max_prefills;
  for (size_t i = 0; i < prompts.size() && places > 0 && left > 0; ++i) {
    const int64_t sharers = std::min(places, static_cast<int64_t>(prompts.size() - i));
    const int64_t share = (left + sharers - 1) / sharers;
    const int64_t most =
        prompts[i].tells_distributions ? std::min(score_left, distributions_left) : score_left;
    const int64_t scored = ScoredRows(prompts[i], share, scored_row_cost, most);
    const int64_t rows =
        std::min({share, prompts[i].prompt_left, prompts[i].rows_before_scored}) + scored;
    if (rows == 0) continue;
    plan.push_back({prompts[i].index, static_cast<int32_t>(rows)});
    score_left -= scored;
    if (prompts[i].tells_distributions) distributions_left -= scored;
    left -= rows + scored * (scored_row_cost - 1);
    --places;
  }
}

}  // namespace

void PlanStep(absl::Span<StepCandidate> candidates, const StepBudget& budget,
              std::vector<PlannedRows>& plan) {
  plan.clear();
  std::sort(candidates.begin(), candidates.end(), GoesFirst);
  const auto first_prompt = std::find_if(candidates.begin(), candidates.end(),
                                         [](const auto& candidate) { return !candidate.decodes; });
  const auto decodes = candidates.first(first_prompt - candidates.begin());
  const auto prompts = candidates.subspan(decodes.size());
  const int32_t decode_rows = DecodeRows(decodes.size(), !prompts.empty(), budget);
  int32_t guess_rows = prompts.empty() ? budget.step_tokens - decode_rows : 0;
  for (const auto& decode : decodes.first(decode_rows)) {
    const int32_t guesses = std::min(decode.guesses, guess_rows);
    guess_rows -= guesses;
    plan.push_back({decode.index, 1 + guesses});
  }
  int64_t left = budget.step_tokens - decode_rows;
  if (decode_rows > 0) left = std::min<int64_t>(left, budget.prefill_chunk);
  PlanPrefills(prompts, left, decode_rows > 0 ? budget.scored_row_cost : 1, budget, plan);
}

}  // namespace sinkstream
