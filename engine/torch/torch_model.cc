#include "engine/torch/torch_model.h"

#include <cmath>
#include <exception>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/torch/error_text.h"
#include "engine/torch/ops/thread_pool.h"

namespace sinkstream {
namespace {

// Vector kernels may leave the upper halves of registers in use, and then all code that is not
// theirs is slow: exp, of which scoring and sampling take a vocabulary each row, 25 times.
void ClearUpperHalves() {
#ifdef __x86_64__
  if (__builtin_cpu_supports("avx")) asm volatile("vzeroupper");
#endif
}

// forward may keep or return what it is given.
at::Tensor Copy(std::vector<int64_t>& values) {
  return at::from_blob(values.data(), {static_cast<int64_t>(values.size())}, at::kLong).clone();
}

}  // namespace

TorchModel::TorchModel(ModelSpec spec, KvStorage kv, int32_t head_dim, torch::jit::Module module)
    : spec_(std::move(spec)),
      head_dim_(head_dim),
      kv_(std::move(kv)),
      module_(std::move(module)),
      forward_(module_.get_method("forward")) {}

absl::StatusOr<StepLogits> TorchModel::Step(const StepBatch& batch) {
  try {
    const c10::InferenceMode inference;
    Flatten(batch);
    const int64_t wanted = static_cast<int64_t>(logit_rows_.size());
    context_ = c10::make_intrusive<StepContext>(
        kv_.tensor(), head_dim_, absl::MakeConstSpan(lines_), absl::MakeConstSpan(blocks_));
    context_->AskPeaks(peak_alone_);
    if (batch.probed_sequence >= 0) Probe(batch);
    logits_ = forward_({Copy(tokens_), Copy(logit_rows_), context_}).toTensor();
    ClearUpperHalves();
    TORCH_CHECK(logits_.scalar_type() == at::kFloat && logits_.is_contiguous() &&
                    logits_.dim() == 2 && logits_.size(0) == wanted &&
                    logits_.size(1) == spec_.vocab_size,
                "forward gave ", logits_.scalar_type(), " ", logits_.sizes());
    TakePeaks();
    return StepLogits{{logits_.const_data_ptr<float>(), static_cast<size_t>(logits_.numel())},
                      peaks_};
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError("the system refuses the memory for a step");
  } catch (const std::exception& error) {
    return absl::InternalError(absl::StrCat("the model failed: ", Reason(error)));
  }
}

std::optional<double> TorchModel::PinnedAttention() const {
  const double part = context_ ? context_->pinned_attention() : std::nan("");
  return std::isfinite(part) ? std::optional<double>(part) : std::nullopt;
}

void TorchModel::ParallelFor(int64_t count, absl::FunctionRef<void(int64_t)> body) {
  OperatorPool().ParallelFor(count, 1, [&](int64_t begin, int64_t end) {
    ClearUpperHalves();
    for (int64_t i = begin; i < end; ++i) body(i);
  });
}

void TorchModel::Flatten(const StepBatch& batch) {
  tokens_.clear();
  logit_rows_.clear();
  lines_.clear();
  blocks_.clear();
  peak_alone_.clear();
  for (const StepSequence& sequence : batch.sequences) Append(sequence);
}

void TorchModel::Append(const StepSequence& sequence) {
  const auto first = static_cast<int64_t>(tokens_.size());
  const auto rows = static_cast<int64_t>(sequence.tokens.size());
  const auto pinned_begin = static_cast<int64_t>(blocks_.size());
  blocks_.insert(blocks_.end(), sequence.pinned_blocks.begin(), sequence.pinned_blocks.end());
  const auto recent_begin = static_cast<int64_t>(blocks_.size());
  blocks_.insert(blocks_.end(), sequence.recent_blocks.begin(), sequence.recent_blocks.end());
  lines_.push_back({.start = sequence.start,
                    .rows = rows,
                    .sinks = sequence.sinks,
                    .window = sequence.window,
                    .pinned_begin = pinned_begin,
                    .recent_begin = recent_begin,
                    .recent_count = static_cast<int64_t>(sequence.recent_blocks.size()),
                    .first_recent_block = sequence.first_recent_block,
                    .rotary_offset = sequence.rotary_offset});
  tokens_.insert(tokens_.end(), sequence.tokens.begin(), sequence.tokens.end());
  const int64_t end = first + rows;
  for (int64_t row = end - sequence.logit_rows; row < end; ++row) logit_rows_.push_back(row);
  peak_alone_.resize(logit_rows_.size(), sequence.peaks_alone ? 1 : 0);
}

// None if the model file does not call the operator `logits`, as older ones do not.
void TorchModel::TakePeaks() {
  const HeadPeaks& found = *context_->head_peaks();
  TORCH_CHECK(found.outputs() == 0 || found.outputs() == spec_.vocab_size,
              "forward took logits of a head of ", found.outputs(), " outputs, not ",
              spec_.vocab_size);
  peaks_.clear();
  for (const kernels::RowPeak& peak : found.peaks()) {
    peaks_.push_back({peak.output, peak.value});
  }
}

void TorchModel::Probe(const StepBatch& batch) {
  int64_t end = 0;
  for (int32_t i = 0; i <= batch.probed_sequence; ++i) {
    end += static_cast<int64_t>(batch.sequences[i].tokens.size());
  }
  context_->Probe(probes_++ % context_->layers(), end - 1);
}

}  // namespace sinkstream
