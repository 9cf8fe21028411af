// Sampler: logits of one row and the rules of its turn to one token. Pure: the same logits,
// parameters, recent tokens and draw give the same token, whoever else is in the batch.
//
// Order: repetition, presence and frequency penalties, temperature, top_k, top_p, min_p, draw. Ties
// go to the lower id. Log-probabilities (logprobs.h) are of the logits as the model gave them.
// Sources: transformers' logits processors (repetition, top-k, top-p, min-p); vLLM (presence,
// frequency).
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/sampling/logits.h"
#include "engine/types.h"

namespace sinkstream {

struct Sampled {
  TokenId token = 0;
  std::optional<ChosenLogprob> logprob;  // where SamplingParams::top_logprobs asks for it
};

// Uniform in [0, 1) for the `index`-th token of a turn with `seed`: no state, so a reply can be
// resumed anywhere.
double UniformDraw(uint64_t seed, uint64_t index);

// Whether all that Sample needs for such a turn is the peaks of its rows: it is greedy, without
// penalties and log-probabilities.
bool TakesPeakAlone(const SamplingParams& params);

// Keeps its buffers from call to call. One thread at a time: the engine thread, or that of the
// model which samples its session (Model::ParallelFor).
class Sampler {
 public:
  // `recent`: tokens of the session so far, latest last; only the last penalty_last_n count.
  // `draw`: in [0, 1). INTERNAL as PeakOf.
  absl::StatusOr<Sampled> Sample(const RowLogits& row, const SamplingParams& params,
                                 absl::Span<const TokenId> recent, double draw);

 private:
  using Candidate = std::pair<float, TokenId>;  // weight beside the likeliest's, which is 1; id

  TokenId Choose(absl::Span<const float> logits, const Peak& peak, const SamplingParams& params,
                 absl::Span<const TokenId> recent, double draw);
  TokenId Draw(absl::Span<const float> logits, const Peak& peak, const SamplingParams& params,
               double draw);
  void FillCandidates(absl::Span<const float> logits, float highest, double temperature);
  size_t KeepTopP(double top_p, double mass);
  absl::Span<const float> Penalise(absl::Span<const float> logits, const SamplingParams& params,
                                   absl::Span<const TokenId> recent);

  std::vector<float> penalised_;  // [vocab_size]
  std::vector<int32_t> counts_;   // [vocab_size], all zero between calls
  std::vector<TokenId> tokens_;   // of the candidates, and their weights
  std::vector<float> weights_;
  std::vector<Candidate> candidates_;  // likeliest first as far as it is sorted
};

}  // namespace sinkstream
