// The operators that know where a step's rows stand: rotary_table and sink_attention.
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "engine/torch/ops/isa.h"
#include "engine/torch/ops/operator_call.h"
#include "engine/torch/ops/operators.h"
#include "engine/torch/ops/step_context.h"

namespace sinkstream {
namespace {

using at::Tensor;
using kernels::Range;
using StepPtr = c10::intrusive_ptr<StepContext>;

constexpr int64_t kMostHeads = int64_t{1} << 20;  // with kMaxHeadDim, a row stays within an int
constexpr float kSteepestSlope = 1e6f;  // times a distance it is finite, so -infinity stays that

// The rotation of every pair of dimensions.
struct Rotation {
  const double* inverse_frequencies;
  int64_t pairs;
  double magnitude;
};

void CosSin(int64_t position, const Rotation& rotation, float* to) {
  for (int64_t i = 0; i < rotation.pairs; ++i) {
    const double angle = static_cast<double>(position) * rotation.inverse_frequencies[i];
    to[i] = static_cast<float>(std::cos(angle) * rotation.magnitude);
    to[rotation.pairs + i] = static_cast<float>(std::sin(angle) * rotation.magnitude);
  }
}

Tensor RotaryTable(const Tensor& inv_freq, const StepPtr& step, double magnitude) {
  TORCH_CHECK(inv_freq.scalar_type() == at::kDouble && inv_freq.dim() == 1 && inv_freq.size(0) > 0,
              "rotary_table: inv_freq must be float64 [R / 2], not ", inv_freq.scalar_type(), " ",
              inv_freq.sizes());
  TORCH_CHECK(std::isfinite(magnitude) && magnitude > 0, "rotary_table: magnitude must be positive",
              " and finite, not ", magnitude);
  const Tensor plain = inv_freq.contiguous();
  const Rotation rotation = {plain.const_data_ptr<double>(), plain.size(0), magnitude};
  const StepLayout& layout = step->layout();
  const int64_t half = rotation.pairs;
  Tensor table = at::empty({layout.rows, 2, 2, half}, at::kFloat);
  float* to = table.mutable_data_ptr<float>();
  ForRows(layout.rows, 8, [&](Range rows) {
    for (int64_t row = rows.begin; row < rows.end; ++row) {
      const RowAngles& angles = layout.angles[row];
      float* recent = to + row * 4 * half;
      CosSin(angles.recent, rotation, recent);
      if (angles.pinned == angles.recent) {
        std::copy_n(recent, 2 * half, recent + 2 * half);
      } else {
        CosSin(angles.pinned, rotation, recent + 2 * half);
      }
    }
  });
  return table;
}

// What the operator is asked for; numbers of any size.
struct Heads {
  int64_t heads;
  int64_t kv_heads;
  int64_t head_dim;
};

void CheckAttention(const Heads& asked, const Tensor& qkv, int64_t layer, const StepContext& step) {
  const int64_t rows = step.layout().rows;
  TORCH_CHECK(asked.kv_heads == step.kv_heads() && asked.head_dim == step.head_dim() &&
                  layer >= 0 && layer < step.layers(),
              "sink_attention: layer ", layer, " with ", asked.kv_heads, " kv heads of ",
              asked.head_dim, " does not fit the step's kv: ", step.layers(), " layers, ",
              step.kv_heads(), " kv heads of ", step.head_dim());
  TORCH_CHECK(asked.heads > 0 && asked.heads <= kMostHeads && asked.kv_heads > 0 &&
                  asked.heads % asked.kv_heads == 0,
              "sink_attention: ", asked.heads, " heads (", kMostHeads, " at most) cannot share ",
              asked.kv_heads, " kv heads");
  TORCH_CHECK(
      qkv.size(0) == rows && qkv.size(1) == (asked.heads + 2 * asked.kv_heads) * asked.head_dim,
      "sink_attention: qkv is ", qkv.sizes(), " for ", rows, " rows");
}

// Undefined without rotation.
Tensor CheckedRotary(const std::optional<Tensor>& rotary, int64_t rows, int64_t head_dim) {
  if (!rotary) return {};
  const Tensor table = Floats(*rotary, "sink_attention", "rotary", 4);
  TORCH_CHECK(table.size(0) == rows && table.size(1) == 2 && table.size(2) == 2 &&
                  2 * table.size(3) <= head_dim,
              "sink_attention: rotary is ", table.sizes());
  return table;
}

// Undefined without ALiBi.
Tensor CheckedSlopes(const std::optional<Tensor>& slopes, int64_t heads) {
  if (!slopes) return {};
  const Tensor checked = Floats(*slopes, "sink_attention", "slopes", 1);
  TORCH_CHECK(checked.size(0) == heads, "sink_attention: slopes is ", checked.sizes(), " for ",
              heads, " heads");
  const float* slope = checked.const_data_ptr<float>();
  for (int64_t head = 0; head < heads; ++head) {
    TORCH_CHECK(std::abs(slope[head]) <= kSteepestSlope, "sink_attention: slopes must be within ",
                -kSteepestSlope, " to ", kSteepestSlope, ", not ", slope[head]);
  }
  return checked;
}

void RunAttention(const kernels::AttentionCall& call, const StepContext& step) {
  struct Scores;
  const StepLayout& layout = step.layout();
  const kernels::Element element = step.element();
  ForRows(layout.rows, 16, [&](Range rows) { Kernels().write_kv(element, call, rows); });
  const int64_t items = static_cast<int64_t>(layout.tiles.size()) * call.kv_heads;
  OperatorPool().ParallelFor(items, 1, [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) {
      const kernels::AttentionTile& tile = layout.tiles[item / call.kv_heads];
      const int64_t floats = Kernels().attend_scratch(call, tile);
      auto* scratch = static_cast<float*>(ThreadScratch<Scores>(floats * int64_t{sizeof(float)}));
      Kernels().attend(element, call, tile, static_cast<int>(item % call.kv_heads), scratch);
    }
  });
}

Tensor SinkAttention(const Tensor& qkv, const std::optional<Tensor>& rotary, int64_t layer,
                     int64_t heads, int64_t kv_heads, int64_t head_dim, double scale,
                     const StepPtr& step, const std::optional<Tensor>& slopes) {
  const Tensor rows = Floats(qkv, "sink_attention", "qkv", 2);
  CheckAttention({heads, kv_heads, head_dim}, rows, layer, *step);
  const Tensor angles = CheckedRotary(rotary, rows.size(0), head_dim);
  const Tensor alibi = CheckedSlopes(slopes, heads);
  Tensor out = at::empty({rows.size(0), heads * head_dim}, rows.options());
  kernels::AttentionCall call = {};
  call.qkv = rows.const_data_ptr<float>();
  call.rotary = rotary ? angles.const_data_ptr<float>() : nullptr;
  call.slopes = slopes ? alibi.const_data_ptr<float>() : nullptr;
  call.slots = step->layout().slots.data();
  call.out = out.mutable_data_ptr<float>();
  call.heads = static_cast<int>(heads);
  call.kv_heads = static_cast<int>(kv_heads);
  call.head_dim = static_cast<int>(head_dim);
  call.padded_dim = static_cast<int>(step->padded_dim());
  call.rotary_half = rotary ? static_cast<int>(angles.size(3)) : 0;
  call.scale = static_cast<float>(scale);
  call.kv = step->Layer(layer);
  RunAttention(call, *step);
  step->Answer(layer, call);
  return out;
}

}  // namespace

void RegisterAttentionOperators(torch::Library& library) {
  const auto add = [&](const char* schema, auto* function) {
    library.def(schema, torch::dispatch(c10::DispatchKey::CPU, function));
  };
  add("rotary_table(Tensor inv_freq, " SINKSTREAM_STEP_CONTEXT
      " step, float magnitude=1.0) -> Tensor",
      &RotaryTable);
  add("sink_attention(Tensor qkv, Tensor? rotary, int layer, int heads, int kv_heads, "
      "int head_dim, float scale, " SINKSTREAM_STEP_CONTEXT " step, Tensor? slopes=None) -> Tensor",
      &SinkAttention);
}

}  // namespace sinkstream
