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

void Check(const at::Tensor& weight, const std::optional<at::Tensor>& bias) {
  ElementOf(weight);
  TORCH_CHECK(weight.device().is_cpu() && weight.dim() == 2 && weight.numel() > 0,
              "LinearWeight: weight must be [out, in] on the CPU, not ", weight.sizes());
  if (!bias.has_value()) return;
  TORCH_CHECK(bias->scalar_type() == at::kFloat && bias->dim() == 1 &&
                  bias->size(0) == weight.size(0) && bias->device().is_cpu(),
              "LinearWeight: bias must be float32 [", weight.size(0), "], not ", bias->sizes());
}

// Of a view the whole storage would be serialised.
at::Tensor Whole(const at::Tensor& tensor) {
  const bool whole = tensor.is_contiguous() && tensor.storage().nbytes() == tensor.nbytes();
  return whole ? tensor.detach() : tensor.detach().clone(at::MemoryFormat::Contiguous);
}

}  // namespace

LinearWeight::LinearWeight(const at::Tensor& weight, const std::optional<at::Tensor>& bias) {
  Check(weight, bias);
  weight_ = Whole(weight);
  if (bias.has_value()) bias_ = Whole(*bias);
}

const PackedMatrix& LinearWeight::matrix() const {
  std::call_once(packed_, [this] {
    const std::lock_guard lock(mutex_);
    matrix_.emplace(ElementOf(weight_), weight_.const_data_ptr(), weight_.size(0), weight_.size(1),
                    bias_.has_value() ? bias_->const_data_ptr<float>() : nullptr);
    weight_.reset();
    bias_.reset();
  });
  return *matrix_;
}

State LinearWeight::Plain() const {
  const std::lock_guard lock(mutex_);
  if (!matrix_.has_value()) {
    // Other tensors of the same storage: the pickler would have a reader remember shared ones.
    return {weight_.detach(), bias_.has_value() ? std::optional(bias_->detach()) : std::nullopt};
  }
  const bool is_float = matrix_->element() == kernels::Element::kFloat32;
  at::Tensor weight =
      at::empty({matrix_->out(), matrix_->in()}, is_float ? at::kFloat : at::kBFloat16);
  matrix_->Unpack(weight.mutable_data_ptr());
  if (matrix_->bias() == nullptr) return {weight, std::nullopt};
  return {weight, at::from_blob(const_cast<float*>(matrix_->bias()), {matrix_->out()}).clone()};
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
