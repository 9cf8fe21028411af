// StepContext: TorchBind class that tells the operators which row of a step belongs to which
// sequence, and where its keys and values lie (docs/model_artifact.md). Made anew for each step;
// the operators write through it into `kv`, and tell it what a probe and the head have found.
#pragma once

#include <torch/custom_class.h>

#include <limits>
#include <optional>
#include <vector>

#include "absl/types/span.h"
#include "engine/torch/ops/head_peaks.h"
#include "engine/torch/ops/kv_shape.h"
#include "engine/torch/ops/step_layout.h"

namespace sinkstream {

class StepContext final : public torch::CustomClassHolder {
 public:
  // kv: float32, bfloat16 or int8, as KvShape says. `lines` and `blocks` are not needed afterwards.
  // Throws c10::Error for other shapes, and for what LayOut refuses.
  StepContext(at::Tensor kv, int64_t head_dim, absl::Span<const SequenceLine> lines,
              absl::Span<const int32_t> blocks);
  // The same for Python; sequences: int64 [Q, 9], lines in the order of their fields; blocks: int32
  // [B].
  StepContext(at::Tensor kv, int64_t head_dim, const at::Tensor& sequences,
              const at::Tensor& blocks);

  const StepLayout& layout() const { return layout_; }
  kernels::Element element() const { return element_; }
  int64_t layers() const { return kv_.size(0); }
  int64_t kv_heads() const { return kv_.size(2); }
  int64_t head_dim() const { return head_dim_; }
  int64_t padded_dim() const { return PaddedDim(head_dim_); }
  // [num_blocks, kv_heads, 2, KvPart] of one layer, which counts as used from now on. Requires
  // 0 <= layer < layers(). One thread at a time.
  void* Layer(int64_t layer);
  // One more than the highest layer asked for so far.
  int64_t layers_used() const { return layers_used_; }

  // Asks for the part of its attention that `row` pays to the pinned tokens in `layer`
  // (attention_probe.h). Throws c10::Error for a layer or row that there is none of.
  void Probe(int64_t layer, int64_t row);
  // The layer's attention has run: answers if it was asked for.
  void Answer(int64_t layer, const kernels::AttentionCall& call);
  // NaN until it is answered.
  double pinned_attention() const { return pinned_attention_; }

  // Asks for the highest logit of each wanted row, and of those with an `alone` that is not 0 for
  // nothing else: they get no logits.
  void AskPeaks(std::vector<uint8_t> alone) { head_peaks_.emplace(std::move(alone)); }
  // Null unless they are asked for.
  HeadPeaks* head_peaks() { return head_peaks_ ? &*head_peaks_ : nullptr; }

 private:
  const at::Tensor kv_;
  const kernels::Element element_;
  const int64_t head_dim_;
  int64_t layers_used_ = 0;
  int64_t probed_layer_ = -1;
  int64_t probed_row_ = 0;
  double pinned_attention_ = std::numeric_limits<double>::quiet_NaN();
  std::optional<HeadPeaks> head_peaks_;
  std::vector<int32_t> blocks_;
  StepLayout layout_;  // points into blocks_
};

void RegisterStepContext(torch::Library& library);

}  // namespace sinkstream
