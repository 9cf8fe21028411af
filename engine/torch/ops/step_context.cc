#include "engine/torch/ops/step_context.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <string>
#include <tuple>
#include <utility>

#include "engine/torch/ops/attention_probe.h"

namespace sinkstream {
namespace {

using kernels::Element;

Element KvElementOf(const at::Tensor& kv) {
  const at::ScalarType type = kv.scalar_type();
  TORCH_CHECK(type == at::kFloat || type == at::kBFloat16 || type == at::kChar,
              "StepContext: kv must be float32, bfloat16 or int8, not ", type);
  if (type == at::kChar) return Element::kInt8;
  return type == at::kFloat ? Element::kFloat32 : Element::kBfloat16;
}

void CheckKv(Element element, const at::Tensor& kv, int64_t head_dim) {
  TORCH_CHECK(head_dim >= 1 && head_dim <= kernels::kMaxHeadDim, "StepContext: head_dim ", head_dim,
              " is not within 1 to ", kernels::kMaxHeadDim);
  TORCH_CHECK(kv.dim() == 5 && kv.is_contiguous() && kv.device().is_cpu() &&
                  kv.sizes() == KvShape(element, kv.size(0), kv.size(1), kv.size(2), head_dim),
              "StepContext: kv must be [layers, blocks, kv_heads, 2, ",
              KvShape(element, 1, 1, 1, head_dim).back(), "], not ", kv.sizes());
}

std::vector<SequenceLine> Lines(const at::Tensor& sequences) {
  TORCH_CHECK(sequences.scalar_type() == at::kLong && sequences.dim() == 2 &&
                  sequences.size(1) == kSequenceFields && sequences.device().is_cpu(),
              "StepContext: sequences must be int64 [Q, 9], not ", sequences.sizes());
  const at::Tensor plain = sequences.contiguous();
  const int64_t* field = plain.const_data_ptr<int64_t>();
  std::vector<SequenceLine> lines(static_cast<size_t>(sequences.size(0)));
  for (SequenceLine& line : lines) {
    line = {field[0], field[1], field[2], field[3], field[4],
            field[5], field[6], field[7], field[8]};
    field += kSequenceFields;
  }
  return lines;
}

std::vector<int32_t> Blocks(const at::Tensor& blocks) {
  TORCH_CHECK(blocks.scalar_type() == at::kInt && blocks.dim() == 1 && blocks.device().is_cpu(),
              "StepContext: blocks must be int32 [B], not ", blocks.sizes());
  const at::Tensor plain = blocks.contiguous();
  const int32_t* ids = plain.const_data_ptr<int32_t>();
  return {ids, ids + blocks.size(0)};
}

// For Python.
void AskPeaks(const c10::intrusive_ptr<StepContext>& step, const at::Tensor& alone) {
  TORCH_CHECK(alone.scalar_type() == at::kBool && alone.dim() == 1 && alone.device().is_cpu(),
              "ask_peaks: alone must be bool [M], not ", alone.scalar_type(), " ", alone.sizes());
  const at::Tensor plain = alone.contiguous();
  const bool* flags = plain.const_data_ptr<bool>();
  step->AskPeaks({flags, flags + plain.size(0)});
}

std::tuple<at::Tensor, at::Tensor> Peaks(const c10::intrusive_ptr<StepContext>& step) {
  const HeadPeaks* const found = step->head_peaks();
  const auto rows = static_cast<int64_t>(found == nullptr ? 0 : found->peaks().size());
  at::Tensor logits = at::empty({rows}, at::kFloat), tokens = at::empty({rows}, at::kInt);
  for (int64_t row = 0; row < rows; ++row) {
    const kernels::RowPeak& peak = found->peaks()[static_cast<size_t>(row)];
    logits.mutable_data_ptr<float>()[row] = peak.value;
    tokens.mutable_data_ptr<int32_t>()[row] = peak.output;
  }
  return {logits, tokens};
}

}  // namespace

StepContext::StepContext(at::Tensor kv, int64_t head_dim, const at::Tensor& sequences,
                         const at::Tensor& blocks)
    : StepContext(std::move(kv), head_dim, Lines(sequences), Blocks(blocks)) {}

StepContext::StepContext(at::Tensor kv, int64_t head_dim, absl::Span<const SequenceLine> lines,
                         absl::Span<const int32_t> blocks)
    : kv_(std::move(kv)),
      element_(KvElementOf(kv_)),
      head_dim_(head_dim),
      blocks_(blocks.begin(), blocks.end()) {
  CheckKv(element_, kv_, head_dim_);
  auto layout = LayOut(lines, blocks_, kv_.size(1));
  TORCH_CHECK(layout.ok(), "StepContext: ", std::string(layout.status().message()));
  layout_ = *std::move(layout);
}

void* StepContext::Layer(int64_t layer) {
  layers_used_ = std::max(layers_used_, layer + 1);
  const int64_t bytes = kv_.stride(0) * static_cast<int64_t>(kv_.element_size());
  return static_cast<char*>(kv_.mutable_data_ptr()) + layer * bytes;
}

void StepContext::Probe(int64_t layer, int64_t row) {
  TORCH_CHECK(layer >= 0 && layer < layers() && row >= 0 && row < layout_.rows,
              "StepContext: layer ", layer, " of ", layers(), ", row ", row, " of ", layout_.rows);
  probed_layer_ = layer;
  probed_row_ = row;
}

void StepContext::Answer(int64_t layer, const kernels::AttentionCall& call) {
  if (layer != probed_layer_) return;
  for (const kernels::AttentionTile& tile : layout_.tiles) {
    if (probed_row_ < tile.row || probed_row_ >= tile.row + tile.rows) continue;
    pinned_attention_ = PinnedAttention(element_, call, tile, probed_row_);
  }
}

void RegisterStepContext(torch::Library& library) {
  library.class_<StepContext>("StepContext")
      .def(torch::init<at::Tensor, int64_t, const at::Tensor&, const at::Tensor&>())
      .def("probe", &StepContext::Probe)
      .def("ask_peaks", &AskPeaks)
      .def("peaks", &Peaks)
      .def("pinned_attention", &StepContext::pinned_attention);
}

}  // namespace sinkstream
