// The operators whose every row is made of that row alone and no weights but vectors: norms and
// activations.
#include <ATen/ops/empty.h>

#include <algorithm>
#include <optional>
#include <string>

#include "engine/torch/ops/isa.h"
#include "engine/torch/ops/operator_call.h"
#include "engine/torch/ops/operators.h"
#include "engine/torch/ops/rowwise_calls.h"

namespace sinkstream {

using at::Tensor;
using kernels::Range;

RmsNormInput CheckedRmsNorm(const char* op, const Tensor& x, const char* weight_name,
                            const Tensor& weight, double epsilon) {
  RmsNormInput input = {Floats(x, op, "x", 2), Floats(weight, op, weight_name, 1), {}};
  TORCH_CHECK(input.x.size(1) == input.weight.size(0), op, ": x is ", x.sizes(), ", ", weight_name,
              " ", weight.sizes());
  input.call = {input.x.const_data_ptr<float>(), input.weight.const_data_ptr<float>(), nullptr,
                input.x.size(1), static_cast<float>(epsilon)};
  return input;
}

GatedInput CheckedGated(const char* op, const Tensor& gate_up) {
  GatedInput input = {Floats(gate_up, op, "gate_up", 2), {}};
  TORCH_CHECK(input.gate_up.size(1) % 2 == 0, op, ": gate_up is ", gate_up.sizes(),
              ", which has no two halves");
  input.call = {input.gate_up.const_data_ptr<float>(), nullptr, input.gate_up.size(1) / 2};
  return input;
}

namespace {

Tensor RmsNorm(const Tensor& x, const Tensor& weight, double epsilon) {
  RmsNormInput input = CheckedRmsNorm("rms_norm", x, "weight", weight, epsilon);
  Tensor y = at::empty(input.x.sizes(), input.x.options());
  input.call.y = y.mutable_data_ptr<float>();
  ForRows(y.size(0), 16, [&](Range rows) { Kernels().rms_norm(input.call, rows); });
  return y;
}

Tensor LayerNorm(const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias,
                 double epsilon) {
  const Tensor input = Floats(x, "layer_norm", "x", 2);
  const Tensor scale = Floats(weight, "layer_norm", "weight", 1);
  const Tensor shift = bias ? Floats(*bias, "layer_norm", "bias", 1) : Tensor();
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
  const Tensor input = Floats(qkv, "head_rms_norm", "qkv", 2);
  const Tensor scale = Floats(weight, "head_rms_norm", "weight", 2);
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
Tensor RunGated(const char* op, const Tensor& gate_up,
                absl::FunctionRef<void(const kernels::GatedCall&, Range)> kernel) {
  GatedInput input = CheckedGated(op, gate_up);
  Tensor y = at::empty({gate_up.size(0), input.call.size}, gate_up.options());
  input.call.y = y.mutable_data_ptr<float>();
  ForRows(y.size(0), 4, [&](Range part) { kernel(input.call, part); });
  return y;
}

Tensor SiluMul(const Tensor& gate_up) {
  return RunGated("silu_mul", gate_up, [](const kernels::GatedCall& call, Range rows) {
    Kernels().silu_mul(call, rows);
  });
}

kernels::GeluKind KindOf(const std::string& approximate, const char* what) {
  if (approximate == "none") return kernels::GeluKind::kErf;
  TORCH_CHECK(approximate == "tanh", what, ": approximate must be none or tanh, not ", approximate);
  return kernels::GeluKind::kTanh;
}

Tensor Gelu(const Tensor& x, const std::string& approximate) {
  const Tensor input = Floats(x, "gelu", "x", 2);
  const kernels::GeluKind kind = KindOf(approximate, "gelu");
  Tensor y = at::empty(input.sizes(), input.options());
  const kernels::ActivationCall call = {input.const_data_ptr<float>(), y.mutable_data_ptr<float>(),
                                        input.size(1)};
  ForRows(input.size(0), 4, [&](Range rows) { Kernels().gelu(kind, call, rows); });
  return y;
}

Tensor GeluMul(const Tensor& gate_up, const std::string& approximate) {
  const kernels::GeluKind kind = KindOf(approximate, "gelu_mul");
  return RunGated("gelu_mul", gate_up, [kind](const kernels::GatedCall& call, Range rows) {
    Kernels().gelu_mul(kind, call, rows);
  });
}

}  // namespace

void RegisterRowwiseOperators(torch::Library& library) {
  const auto add = [&](const char* schema, auto* function) {
    library.def(schema, torch::dispatch(c10::DispatchKey::CPU, function));
  };
  add("rms_norm(Tensor x, Tensor weight, float eps) -> Tensor", &RmsNorm);
  add("layer_norm(Tensor x, Tensor weight, Tensor? bias, float eps) -> Tensor", &LayerNorm);
  add("head_rms_norm(Tensor qkv, Tensor weight, float eps) -> Tensor", &HeadRmsNorm);
  add("silu_mul(Tensor gate_up) -> Tensor", &SiluMul);
  add("gelu(Tensor x, str approximate) -> Tensor", &Gelu);
  add("gelu_mul(Tensor gate_up, str approximate) -> Tensor", &GeluMul);
}

}  // namespace sinkstream
