#include "engine/step/quality_probe.h"

#include <algorithm>

#include "engine/sampling/logprobs.h"

namespace sinkstream {
namespace {

// Its last row.
bool SeesBeyondPinned(const StepSequence& sequence) {
  const int64_t end = sequence.start + static_cast<int64_t>(sequence.tokens.size());
  return sequence.sinks > 0 && end > sequence.sinks;
}

}  // namespace

std::optional<int32_t> QualityProbe::Choose(StepBatch& batch) {
  batch.probed_sequence = -1;
  if (++steps_ % kEverySteps != 0) return std::nullopt;
  const auto chosen = InTurn(batch);
  if (!chosen) return std::nullopt;
  StepSequence& sequence = batch.sequences[*chosen];
  sequence.peaks_alone = false;
  if (SeesBeyondPinned(sequence)) batch.probed_sequence = *chosen;
  return chosen;
}

std::optional<int32_t> QualityProbe::InTurn(const StepBatch& batch) {
  const auto count = static_cast<int64_t>(batch.sequences.size());
  for (int64_t i = 0; i < count; ++i) {
    const auto index = static_cast<int32_t>((looks_ + i) % count);
    if (batch.sequences[index].logit_rows == 0) continue;
    ++looks_;
    return index;
  }
  return std::nullopt;
}

double NegativeLogLikelihood(absl::Span<const float> logits, TokenId token) {
  const float highest = *std::max_element(logits.begin(), logits.end());
  const double nats = LogSumExp(logits, highest) - static_cast<double>(logits[token]);
  return nats < 0 ? 0 : nats;  // by rounding
}

}  // namespace sinkstream
