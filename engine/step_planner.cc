#include "engine/step_planner.h"

#include <algorithm>

namespace sinkstream {
namespace {

std::vector<StepCandidate> LongestWaitingFirst(absl::Span<const StepCandidate> candidates,
                                               bool decodes) {
  std::vector<StepCandidate> chosen;
  for (const auto& candidate : candidates) {
    if (candidate.decodes == decodes) chosen.push_back(candidate);
  }
  std::stable_sort(chosen.begin(), chosen.end(),
                   [](const auto& a, const auto& b) { return a.planned_at < b.planned_at; });
  return chosen;
}

}  // namespace

std::vector<PlannedRows> PlanStep(absl::Span<const StepCandidate> candidates,
                                  const StepBudget& budget) {
  const auto decodes = LongestWaitingFirst(candidates, true);
  const auto prefills = LongestWaitingFirst(candidates, false);

  const int32_t kept_for_prefill =
      prefills.empty() ? 0 : std::min(budget.prefill_chunk, (budget.step_tokens + 3) / 4);
  const int32_t decode_room = std::max(budget.step_tokens - kept_for_prefill, 1);
  const auto decode_rows = std::min<int32_t>(static_cast<int32_t>(decodes.size()), decode_room);

  std::vector<PlannedRows> plan;
  plan.reserve(decode_rows + prefills.size());
  for (int32_t i = 0; i < decode_rows; ++i) plan.push_back({decodes[i].index, 1});

  int32_t left = budget.step_tokens - decode_rows;
  if (decode_rows > 0) left = std::min(left, budget.prefill_chunk);
  int64_t score_left = budget.score_rows;
  auto sharers = std::min<int32_t>(static_cast<int32_t>(prefills.size()), budget.max_prefills);
  for (int32_t i = 0; sharers > 0 && left > 0; ++i, --sharers) {
    const int64_t share = (left + sharers - 1) / sharers;
    const int64_t unscored = prefills[i].rows_before_scored;
    int64_t rows = std::min(share, prefills[i].prompt_left);
    if (rows > unscored) {
      rows = std::min(rows, unscored + score_left);
      score_left -= rows - unscored;
    }
    if (rows == 0) continue;
    plan.push_back({prefills[i].index, static_cast<int32_t>(rows)});
    left -= static_cast<int32_t>(rows);
  }
  return plan;
}

}  // namespace sinkstream
