#include "engine/step/step_sampler.h"

#include <algorithm>
#include <atomic>
#include <utility>

namespace sinkstream {

StepSampler::StepSampler(Model& model, const ChatFormat& format, const Clock& clock)
    : model_(model),
      format_(format),
      clock_(clock),
      vocab_size_(static_cast<size_t>(model.Spec().vocab_size)),
      samplers_(static_cast<size_t>(std::max(1, model.Spec().threads))) {}

void StepSampler::Run(absl::Span<ReplyStep> steps) {
  std::atomic<size_t> next = 0;
  const size_t workers = std::min(samplers_.size(), steps.size());
  model_.ParallelFor(static_cast<int64_t>(workers), [&](int64_t worker) {
    for (size_t i; (i = next++) < steps.size();) {
      SampleReply(steps[i], samplers_[static_cast<size_t>(worker)]);
    }
  });
}

void StepSampler::SampleReply(ReplyStep& step, Sampler& sampler) const {
  step.accepted = 0;
  step.deltas.clear();
  step.reason.reset();
  step.status = absl::OkStatus();
  Session& session = *step.session;
  Sequence& sequence = session.requests.front();
  const auto tokens = sequence.NextTokens(step.rows);
  const int32_t certain = step.rows - step.guesses;
  session.recent.Append(tokens.first(certain));
  sequence.Fed(certain, clock_.Now());
  for (const TokenId guess : tokens.subspan(certain)) {
    if (SampleRow(step, sampler) != guess) return;
    session.recent.Append({&guess, 1});
    sequence.Fed(1, clock_.Now());
    ++step.accepted;
  }
  SampleRow(step, sampler);
}

std::optional<TokenId> StepSampler::SampleRow(ReplyStep& step, Sampler& sampler) const {
  Session& session = *step.session;
  Sequence& sequence = session.requests.front();
  const auto& request = sequence.request();
  const auto sampled =
      sampler.Sample(RowOf(step.given, step.accepted, vocab_size_), request.sampling,
                     session.recent.AsSpan(), UniformDraw(request.seed, sequence.generated()));
  if (!sampled.ok()) {
    step.status = sampled.status();
    return std::nullopt;
  }
  step.reason = sequence.AcceptToken(*sampled, format_, clock_.Now(), step.deltas.emplace_back());
  if (step.reason) return std::nullopt;
  return sampled->token;
}

}  // namespace sinkstream
