// The operator library `sinkstream`: schemas, shape checks, and the split of each operator over the
// threads. docs/model_artifact.md says what each operator is.
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "engine/text/chat_format.h"
#include "engine/text/tokenizer.h"
#include "engine/torch/ops/isa.h"
#include "engine/torch/ops/linear_weight.h"
#include "engine/torch/ops/step_context.h"
#include "engine/torch/ops/thread_pool.h"

namespace sinkstream {
namespace {

using at::Tensor;
using kernels::Range;
using WeightPtr = c10::intrusive_ptr<LinearWeight>;
using StepPtr = c10::intrusive_ptr<StepContext>;

constexpr int64_t kMostHeads = int64_t{1} << 20;  // with kMaxHeadDim, a row stays within an int

Tensor Floats(const Tensor& x, const char* what, int64_t dims) {
  TORCH_CHECK(x.scalar_type() == at::kFloat && x.dim() == dims && x.device().is_cpu(), what,
              " must be float32 with ", dims, " dimensions on the CPU, not ", x.scalar_type(), " ",
              x.sizes());
  return x.contiguous();
}

// Pieces small enough that a thread which starts late still finds some.
int64_t Grain(int64_t count, int64_t least) {
  return std::max(least, count / (4 * OperatorPool().threads()));
}

Tensor RunLinear(const Tensor& x, const PackedMatrix& matrix, const float* residual) {
  constexpr int64_t kRowBlock = 96;
  const Tensor input = Floats(x, "linear: x", 2);
  TORCH_CHECK(x.size(1) == matrix.in(), "linear: x is ", x.sizes(), ", the weight takes ",
              matrix.in());
  const int64_t rows = x.size(0);
  Tensor y = at::empty({rows, matrix.out()}, x.options());
  const kernels::LinearCall call = {
      input.const_data_ptr<float>(), matrix.data(), matrix.bias(), residual,
      y.mutable_data_ptr<float>(),   matrix.in(),   matrix.out()};
  const int64_t row_blocks = (rows + kRowBlock - 1) / kRowBlock;
  const int64_t items = matrix.panels() * row_blocks;
  OperatorPool().ParallelFor(items, Grain(items, 1), [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) {
      const int64_t panel = item / row_blocks, row = item % row_blocks * kRowBlock;
      Kernels().linear(matrix.element(), call, {panel, panel + 1},
                       {row, std::min(row + kRowBlock, rows)});
    }
  });
  return y;
}

Tensor Linear(const Tensor& x, const WeightPtr& weight) {
  return RunLinear(x, weight->matrix(), nullptr);
}

Tensor LinearAdd(const Tensor& x, const WeightPtr& weight, const Tensor& residual) {
  const Tensor added = Floats(residual, "linear_add: residual", 2);
  TORCH_CHECK(added.size(0) == x.size(0) && added.size(1) == weight->matrix().out(),
              "linear_add: residual is ", added.sizes());
  return RunLinear(x, weight->matrix(), added.const_data_ptr<float>());
}

Tensor Embedding(const Tensor& ids, const WeightPtr& weight) {
  TORCH_CHECK(ids.scalar_type() == at::kLong && ids.dim() == 1, "embedding: ids must be int64 [N]");
  const PackedMatrix& matrix = weight->matrix();
  const Tensor plain = ids.contiguous();
  const int64_t* id = plain.const_data_ptr<int64_t>();
  Tensor y = at::empty({ids.size(0), matrix.in()}, at::kFloat);
  for (int64_t row = 0; row < ids.size(0); ++row) {
    TORCH_CHECK(id[row] >= 0 && id[row] < matrix.out(), "embedding: token ", id[row], " of ",
                matrix.out());
    matrix.CopyRow(id[row], y.mutable_data_ptr<float>() + row * matrix.in());
  }
  return y;
}

Tensor RmsNorm(const Tensor& x, const Tensor& weight, double epsilon) {
  const Tensor input = Floats(x, "rms_norm: x", 2), scale = Floats(weight, "rms_norm: weight", 1);
  TORCH_CHECK(input.size(1) == scale.size(0), "rms_norm: x is ", x.sizes(), ", weight ",
              weight.sizes());
  Tensor y = at::empty(input.sizes(), input.options());
  const kernels::RmsNormCall call = {input.const_data_ptr<float>(), scale.const_data_ptr<float>(),
                                     y.mutable_data_ptr<float>(), input.size(1),
                                     static_cast<float>(epsilon)};
  OperatorPool().ParallelFor(
      input.size(0), Grain(input.size(0), 16),
      [&](int64_t begin, int64_t end) { Kernels().rms_norm(call, {begin, end}); });
  return y;
}

Tensor SiluMul(const Tensor& gate_up) {
  const Tensor input = Floats(gate_up, "silu_mul: gate_up", 2);
  TORCH_CHECK(input.size(1) % 2 == 0, "silu_mul: gate_up is ", gate_up.sizes());
  const int64_t rows = input.size(0), size = input.size(1) / 2;
  Tensor y = at::empty({rows, size}, input.options());
  const kernels::SiluMulCall call = {input.const_data_ptr<float>(), y.mutable_data_ptr<float>(),
                                     size};
  OperatorPool().ParallelFor(rows, Grain(rows, 4), [&](int64_t begin, int64_t end) {
    Kernels().silu_mul(call, {begin, end});
  });
  return y;
}

void CosSin(int64_t position, const double* inverse_frequencies, int64_t count, float* to) {
  for (int64_t i = 0; i < count; ++i) {
    const double angle = static_cast<double>(position) * inverse_frequencies[i];
    to[i] = static_cast<float>(std::cos(angle));
    to[count + i] = static_cast<float>(std::sin(angle));
  }
}

Tensor RotaryTable(const Tensor& inv_freq, const StepPtr& step) {
  TORCH_CHECK(inv_freq.scalar_type() == at::kDouble && inv_freq.dim() == 1 && inv_freq.size(0) > 0,
              "rotary_table: inv_freq must be float64 [R / 2], not ", inv_freq.scalar_type(), " ",
              inv_freq.sizes());
  const Tensor plain = inv_freq.contiguous();
  const double* frequencies = plain.const_data_ptr<double>();
  const StepLayout& layout = step->layout();
  const int64_t half = inv_freq.size(0);
  Tensor table = at::empty({layout.rows, 2, 2, half}, at::kFloat);
  float* to = table.mutable_data_ptr<float>();
  OperatorPool().ParallelFor(layout.rows, Grain(layout.rows, 8), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const RowAngles& angles = layout.angles[row];
      float* recent = to + row * 4 * half;
      CosSin(angles.recent, frequencies, half, recent);
      if (angles.pinned == angles.recent) {
        std::copy_n(recent, 2 * half, recent + 2 * half);
      } else {
        CosSin(angles.pinned, frequencies, half, recent + 2 * half);
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

void CheckAttention(const Heads& asked, const Tensor& qkv, const Tensor& rotary, int64_t layer,
                    const StepContext& step) {
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
  TORCH_CHECK(rotary.size(0) == rows && rotary.size(1) == 2 && rotary.size(2) == 2 &&
                  2 * rotary.size(3) <= asked.head_dim,
              "sink_attention: rotary is ", rotary.sizes());
}

// Grows to the largest need of its thread and stays: the decode path allocates nothing. Want of
// memory ends the process (ParallelFor).
float* Scratch(int64_t floats) {
  thread_local std::vector<float> scratch;
  if (static_cast<int64_t>(scratch.size()) < floats) scratch.resize(static_cast<size_t>(floats));
  return scratch.data();
}

void RunAttention(const kernels::AttentionCall& call, const StepContext& step) {
  const StepLayout& layout = step.layout();
  const kernels::Element element = step.element();
  OperatorPool().ParallelFor(layout.rows, Grain(layout.rows, 16), [&](int64_t begin, int64_t end) {
    Kernels().write_kv(element, call, {begin, end});
  });
  const int64_t items = static_cast<int64_t>(layout.tiles.size()) * call.kv_heads;
  OperatorPool().ParallelFor(items, 1, [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) {
      const kernels::AttentionTile& tile = layout.tiles[item / call.kv_heads];
      float* scratch = Scratch(Kernels().attend_scratch(call, tile));
      Kernels().attend(element, call, tile, static_cast<int>(item % call.kv_heads), scratch);
    }
  });
}

Tensor SinkAttention(const Tensor& qkv, const Tensor& rotary, int64_t layer, int64_t heads,
                     int64_t kv_heads, int64_t head_dim, double scale, const StepPtr& step) {
  const Tensor rows = Floats(qkv, "sink_attention: qkv", 2);
  const Tensor angles = Floats(rotary, "sink_attention: rotary", 4);
  CheckAttention({heads, kv_heads, head_dim}, rows, angles, layer, *step);
  Tensor out = at::empty({rows.size(0), heads * head_dim}, rows.options());
  kernels::AttentionCall call = {};
  call.qkv = rows.const_data_ptr<float>();
  call.rotary = angles.const_data_ptr<float>();
  call.slots = step->layout().slots.data();
  call.out = out.mutable_data_ptr<float>();
  call.heads = static_cast<int>(heads);
  call.kv_heads = static_cast<int>(kv_heads);
  call.head_dim = static_cast<int>(head_dim);
  call.padded_dim = static_cast<int>(step->padded_dim());
  call.rotary_half = static_cast<int>(angles.size(3));
  call.scale = static_cast<float>(scale);
  call.kv = step->Layer(layer);
  RunAttention(call, *step);
  return out;
}

std::string Isa() { return Kernels().name; }

void ChooseIsa(const std::string& name) {
  TORCH_CHECK(SelectIsa(name), "select_isa: this CPU has no ", name);
}

void SetThreads(int64_t threads) {
  TORCH_CHECK(threads >= 1 && threads <= 1024, "set_threads: ", threads,
              " is not within 1 to 1024");
  const absl::Status status = SetOperatorThreads(static_cast<int>(threads));
  TORCH_CHECK(status.ok(), "set_threads: ", std::string(status.message()));
}

// For the exporter: what the server's parsers would refuse is refused when the file is made.
void CheckText(const std::string& tokenizer_json, const std::string& chat_format_json,
               int64_t vocab_size) {
  TORCH_CHECK(vocab_size >= 1 && vocab_size <= std::numeric_limits<int32_t>::max(),
              "check_text: vocab_size ", vocab_size, " is not within 1 to 2^31 - 1");
  const auto tokenizer = ParseTokenizer(tokenizer_json);
  TORCH_CHECK(tokenizer.ok(), std::string(tokenizer.status().message()));
  const auto chat_format = ParseChatFormat(chat_format_json, static_cast<int32_t>(vocab_size));
  TORCH_CHECK(chat_format.ok(), std::string(chat_format.status().message()));
}

}  // namespace

TORCH_LIBRARY(sinkstream, library) {
  RegisterLinearWeight(library);
  RegisterStepContext(library);
#define WEIGHT "__torch__.torch.classes.sinkstream.LinearWeight"
#define STEP "__torch__.torch.classes.sinkstream.StepContext"
  library.def("linear(Tensor x, " WEIGHT " w) -> Tensor");
  library.def("linear_add(Tensor x, " WEIGHT " w, Tensor residual) -> Tensor");
  library.def("embedding(Tensor ids, " WEIGHT " w) -> Tensor");
  library.def("rms_norm(Tensor x, Tensor weight, float eps) -> Tensor");
  library.def("silu_mul(Tensor gate_up) -> Tensor");
  library.def("rotary_table(Tensor inv_freq, " STEP " step) -> Tensor");
  library.def(
      "sink_attention(Tensor qkv, Tensor rotary, int layer, int heads, int kv_heads, "
      "int head_dim, float scale, " STEP " step) -> Tensor");
#undef STEP
#undef WEIGHT
  library.def("check_text(str tokenizer_json, str chat_format_json, int vocab_size) -> ()",
              &CheckText);
  library.def("isa", &Isa);
  library.def("supported_isas", &SupportedIsas);
  library.def("select_isa", &ChooseIsa);
  library.def("set_threads", &SetThreads);
}

TORCH_LIBRARY_IMPL(sinkstream, CPU, library) {
  library.impl("linear", &Linear);
  library.impl("linear_add", &LinearAdd);
  library.impl("embedding", &Embedding);
  library.impl("rms_norm", &RmsNorm);
  library.impl("silu_mul", &SiluMul);
  library.impl("rotary_table", &RotaryTable);
  library.impl("sink_attention", &SinkAttention);
}

}  // namespace sinkstream
