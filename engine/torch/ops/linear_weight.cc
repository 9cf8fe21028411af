#include "engine/torch/ops/linear_weight.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include <string>

namespace sinkstream {
namespace {

using State = std::tuple<at::Tensor, std::optional<at::Tensor>>;

kernels::Element ElementOf(const at::Tensor& weight) {
  const bool known = weight.scalar_type() == at::kFloat || weight.scalar_type() == at::kBFloat16;
  TORCH_CHECK(known, "LinearWeight: weight must be float32 or bfloat16, not ",
              weight.scalar_type());
  return weight.scalar_type() == at::kFloat ? kernels::Element::kFloat32
                                            : kernels::Element::kBfloat16;
}

PackedMatrix Pack(const at::Tensor& weight, const std::optional<at::Tensor>& bias) {
  TORCH_CHECK(weight.device().is_cpu() && weight.dim() == 2 && weight.numel() > 0,
              "LinearWeight: weight must be [out, in] on the CPU, not ", weight.sizes());
  const at::Tensor plain = weight.contiguous();
  at::Tensor plain_bias;
  if (bias.has_value()) {
    TORCH_CHECK(bias->scalar_type() == at::kFloat && bias->dim() == 1 &&
                    bias->size(0) == weight.size(0) && bias->device().is_cpu(),
                "LinearWeight: bias must be float32 [", weight.size(0), "], not ", bias->sizes());
    plain_bias = bias->contiguous();
  }
  return PackedMatrix(ElementOf(weight), plain.const_data_ptr(), weight.size(0), weight.size(1),
                      bias.has_value() ? plain_bias.const_data_ptr<float>() : nullptr);
}

}  // namespace

LinearWeight::LinearWeight(const at::Tensor& weight, const std::optional<at::Tensor>& bias)
    : matrix_(Pack(weight, bias)) {}

State LinearWeight::Plain() const {
  const bool is_float = matrix_.element() == kernels::Element::kFloat32;
  at::Tensor weight =
      at::empty({matrix_.out(), matrix_.in()}, is_float ? at::kFloat : at::kBFloat16);
  matrix_.Unpack(weight.mutable_data_ptr());
  if (matrix_.bias() == nullptr) return {weight, std::nullopt};
  return {weight, at::from_blob(const_cast<float*>(matrix_.bias()), {matrix_.out()}).clone()};
}

void RegisterLinearWeight(torch::Library& library) {
  library.class_<LinearWeight>("LinearWeight")
      .def(torch::init<const at::Tensor&, const std::optional<at::Tensor>&>(), "",
           {torch::arg("weight"), torch::arg("bias") = std::nullopt})
      .def("plain", &LinearWeight::Plain)
      .def_pickle([](const c10::intrusive_ptr<LinearWeight>& self) { return self->Plain(); },
                  [](const State& state) {
                    return c10::make_intrusive<LinearWeight>(std::get<0>(state),
                                                             std::get<1>(state));
                  });
}

}  // namespace sinkstream
