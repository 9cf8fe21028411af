// TorchModel: a Model that runs a TorchScript module. For engine/torch alone: others have a Model
// of model_file.h, without torch's types.
#pragma once

#include <torch/script.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "engine/model.h"
#include "engine/torch/kv_storage.h"
#include "engine/torch/ops/step_context.h"

namespace sinkstream {

class TorchModel final : public Model {
 public:
  // `module`: in eval mode, its weights packed, with a method forward(tokens, logit_rows, step) as
  // docs/model_artifact.md says; `kv`: as `spec` says.
  TorchModel(ModelSpec spec, KvStorage kv, int32_t head_dim, torch::jit::Module module);

  const ModelSpec& Spec() const override { return spec_; }
  // No exception leaves it: INTERNAL, in one line.
  absl::StatusOr<StepLogits> Step(const StepBatch& batch) override;
  std::optional<double> PinnedAttention() const override;
  void ParallelFor(int64_t count, absl::FunctionRef<void(int64_t)> body) override;
  void CopyOut(BlockId block, char* to) const override { kv_.CopyOut(block, to); }
  void CopyIn(BlockId block, const char* from) override { kv_.CopyIn(block, from); }

  // Layers that the last Step's attention asked for. Requires that there was one. Engine thread.
  int64_t LayersUsed() const { return context_->layers_used(); }

 private:
  void Flatten(const StepBatch& batch);
  void Append(const StepSequence& sequence);
  void TakePeaks();
  void Probe(const StepBatch& batch);

  const ModelSpec spec_;
  const int32_t head_dim_;
  KvStorage kv_;
  torch::jit::Module module_;
  torch::jit::Method forward_;

  // Of the step at hand; kept for their capacity.
  std::vector<int64_t> tokens_;      // [N]
  std::vector<int64_t> logit_rows_;  // [M]
  std::vector<SequenceLine> lines_;  // [Q]
  std::vector<int32_t> blocks_;      // [B]
  std::vector<uint8_t> peak_alone_;  // [M]
  c10::intrusive_ptr<StepContext> context_;
  int64_t probes_ = 0;       // so far
  at::Tensor logits_;        // [M, vocab_size]
  std::vector<Peak> peaks_;  // [M], or empty
};

}  // namespace sinkstream
