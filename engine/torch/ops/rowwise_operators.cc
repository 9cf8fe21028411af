// The operators whose every row is made of that row alone: linear, embedding, norms, activations.
#include <ATen/ops/empty.h>

#include <algorithm>
#include <optional>
#include <string>

#include "engine/torch/ops/isa.h"
#include "engine/torch/ops/linear_weight.h"
#include "engine/torch/ops/operator_call.h"
#include "engine/torch/ops/operators.h"

namespace sinkstream {
namespace {

using at::Tensor;
using kernels::Range;
using WeightPtr = c10::intrusive_ptr<LinearWeight>;

// Calls `body` with parts of all panels by all rows. A call's parts of few rows are of several
// panels, others of one.
void ForPanels(const PackedMatrix& matrix, int64_t rows, int64_t row_block,
               absl::FunctionRef<void(Range panels, Range rows)> body) {
  const int64_t row_blocks = (rows + row_block - 1) / row_block;
  const int64_t items = matrix.panels() * row_blocks;
  OperatorPool().ParallelFor(items, Grain(items, 1), [&](int64_t begin, int64_t end) {
    if (row_blocks == 1) return body({begin, end}, {0, rows});
    for (int64_t item = begin; item < end; ++item) {
      const int64_t panel = item / row_blocks, row = item % row_blocks * row_block;
      body({panel, panel + 1}, {row, std::min(row + row_block, rows)});
    }
  });
}

kernels::QuantizeCall QuantizeRows(const float* x, int64_t rows, const PackedMatrix& matrix) {
  struct Codes;
  struct Groups;
  const int64_t in = matrix.in(), groups = rows * (in / matrix.group());
  const kernels::QuantizeCall call = {x,
                                      static_cast<int8_t*>(ThreadScratch<Codes>(rows * in)),
                                      static_cast<kernels::ActivationGroup*>(ThreadScratch<Groups>(
                                          groups * int64_t{sizeof(kernels::ActivationGroup)})),
                                      rows,
                                      in,
                                      matrix.group()};
  ForRows(rows, 8, [&](Range part) { Kernels().quantize(call, part); });
  return call;
}

void MultiplyQuantized(const float* x, int64_t rows, const PackedMatrix& matrix,
                       const kernels::LinearOutput& output) {
  struct Panel;
  constexpr int64_t kRowBlock = 128;
  const kernels::QuantizeCall quantized = QuantizeRows(x, rows, matrix);
  const kernels::QuantizedLinearCall call = {
      quantized.codes, quantized.groups, matrix.data(), rows, matrix.in(), output};
  const kernels::KernelTable& table = Kernels();
  ForPanels(matrix, rows, kRowBlock, [&](Range panels, Range part) {
    table.quantized_linear(matrix.element(), call, panels, part,
                           ThreadScratch<Panel>(table.quantized_linear_scratch(call)));
  });
}

void Multiply(const float* x, int64_t rows, const PackedMatrix& matrix,
              const kernels::LinearOutput& output) {
  constexpr int64_t kRowBlock = 96;
  const kernels::LinearCall call = {x, matrix.data(), matrix.in(), output};
  ForPanels(matrix, rows, kRowBlock, [&](Range panels, Range part) {
    Kernels().linear(matrix.element(), call, panels, part);
  });
}

Tensor RunLinear(const Tensor& x, const PackedMatrix& matrix, const float* residual) {
  const Tensor input = Floats(x, "linear: x", 2);
  TORCH_CHECK(x.size(1) == matrix.in(), "linear: x is ", x.sizes(), ", the weight takes ",
              matrix.in());
  Tensor y = at::empty({x.size(0), matrix.out()}, x.options());
  const kernels::LinearOutput output = {matrix.bias(), residual, y.mutable_data_ptr<float>(),
                                        matrix.out()};
  const auto multiply = IsQuantized(matrix.element()) ? &MultiplyQuantized : &Multiply;
  multiply(input.const_data_ptr<float>(), x.size(0), matrix, output);
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
  ForRows(input.size(0), 16, [&](Range rows) { Kernels().rms_norm(call, rows); });
  return y;
}

Tensor LayerNorm(const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias,
                 double epsilon) {
  const Tensor input = Floats(x, "layer_norm: x", 2);
  const Tensor scale = Floats(weight, "layer_norm: weight", 1);
  const Tensor shift = bias ? Floats(*bias, "layer_norm: bias", 1) : Tensor();
  TORCH_CHECK(input.size(1) == scale.size(0), "layer_norm: x is ", x.sizes(), ", weight ",
              weight.sizes());
  TORCH_CHECK(!bias || shift.size(0) == scale.size(0), "layer_norm: bias is ", shift.sizes(),
              ", weight ", weight.sizes());
  Tensor y = at::empty(input.sizes(), input.options());
  const kernels::LayerNormCall call = {input.const_data_ptr<float>(),
                                       scale.const_data_ptr<float>(),
                                       bias ? shift.const_data_ptr<float>() : nullptr,
                                       y.mutable_data_ptr<float>(),
                                       input.size(1),
                                       static_cast<float>(epsilon)};
  ForRows(input.size(0), 16, [&](Range rows) { Kernels().layer_norm(call, rows); });
  return y;
}

Tensor HeadRmsNorm(const Tensor& qkv, const Tensor& weight, double epsilon) {
  const Tensor input = Floats(qkv, "head_rms_norm: qkv", 2);
  const Tensor scale = Floats(weight, "head_rms_norm: weight", 2);
  const int64_t normed_heads = scale.size(0), head_dim = scale.size(1);
  TORCH_CHECK(normed_heads > 0 && head_dim > 0, "head_rms_norm: weight is ", weight.sizes());
  TORCH_CHECK(input.size(1) % head_dim == 0 && input.size(1) / head_dim >= normed_heads,
              "head_rms_norm: qkv is ", qkv.sizes(), ", which has not the ", normed_heads,
              " heads of ", head_dim, " of weight");
  Tensor y = at::empty(input.sizes(), input.options());
  const kernels::HeadRmsNormCall call = {input.const_data_ptr<float>(),
                                         scale.const_data_ptr<float>(),
                                         y.mutable_data_ptr<float>(),
                                         input.size(1) / head_dim,
                                         normed_heads,
                                         head_dim,
                                         static_cast<float>(epsilon)};
  ForRows(input.size(0), 16, [&](Range rows) { Kernels().head_rms_norm(call, rows); });
  return y;
}

// Runs `kernel` on a gated activation's argument: [N, 2 * I] -> [N, I].
Tensor RunGated(const Tensor& gate_up, const char* what,
                absl::FunctionRef<void(const kernels::GatedCall&, Range)> kernel) {
  const Tensor input = Floats(gate_up, what, 2);
  TORCH_CHECK(input.size(1) % 2 == 0, what, " is ", gate_up.sizes(), ", which has no two halves");
  const int64_t rows = input.size(0), size = input.size(1) / 2;
  Tensor y = at::empty({rows, size}, input.options());
  const kernels::GatedCall call = {input.const_data_ptr<float>(), y.mutable_data_ptr<float>(),
                                   size};
  ForRows(rows, 4, [&](Range part) { kernel(call, part); });
  return y;
}

Tensor SiluMul(const Tensor& gate_up) {
  return RunGated(gate_up, "silu_mul: gate_up", [](const kernels::GatedCall& call, Range rows) {
    Kernels().silu_mul(call, rows);
  });
}

kernels::GeluKind KindOf(const std::string& approximate, const char* what) {
  if (approximate == "none") return kernels::GeluKind::kErf;
  TORCH_CHECK(approximate == "tanh", what, ": approximate must be none or tanh, not ", approximate);
  return kernels::GeluKind::kTanh;
}

Tensor Gelu(const Tensor& x, const std::string& approximate) {
  const Tensor input = Floats(x, "gelu: x", 2);
  const kernels::GeluKind kind = KindOf(approximate, "gelu");
  Tensor y = at::empty(input.sizes(), input.options());
  const kernels::ActivationCall call = {input.const_data_ptr<float>(), y.mutable_data_ptr<float>(),
                                        input.size(1)};
  ForRows(input.size(0), 4, [&](Range rows) { Kernels().gelu(kind, call, rows); });
  return y;
}

Tensor GeluMul(const Tensor& gate_up, const std::string& approximate) {
  const kernels::GeluKind kind = KindOf(approximate, "gelu_mul");
  return RunGated(gate_up, "gelu_mul: gate_up", [kind](const kernels::GatedCall& call, Range rows) {
    Kernels().gelu_mul(kind, call, rows);
  });
}

}  // namespace

void RegisterRowwiseOperators(torch::Library& library) {
  const auto add = [&](const char* schema, auto* function) {
    library.def(schema, torch::dispatch(c10::DispatchKey::CPU, function));
  };
  add("linear(Tensor x, " SINKSTREAM_LINEAR_WEIGHT " w) -> Tensor", &Linear);
  add("linear_add(Tensor x, " SINKSTREAM_LINEAR_WEIGHT " w, Tensor residual) -> Tensor",
      &LinearAdd);
  add("embedding(Tensor ids, " SINKSTREAM_LINEAR_WEIGHT " w) -> Tensor", &Embedding);
  add("rms_norm(Tensor x, Tensor weight, float eps) -> Tensor", &RmsNorm);
  add("layer_norm(Tensor x, Tensor weight, Tensor? bias, float eps) -> Tensor", &LayerNorm);
  add("head_rms_norm(Tensor qkv, Tensor weight, float eps) -> Tensor", &HeadRmsNorm);
  add("silu_mul(Tensor gate_up) -> Tensor", &SiluMul);
  add("gelu(Tensor x, str approximate) -> Tensor", &Gelu);
  add("gelu_mul(Tensor gate_up, str approximate) -> Tensor", &GeluMul);
}

}  // namespace sinkstream
