#include "engine/torch/ops/linear_weight.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include <string>

#include "engine/torch/ops/int8_rows.h"
#include "engine/torch/ops/quantized_blocks.h"

namespace sinkstream {
namespace {

using State = std::tuple<at::Tensor, std::optional<at::Tensor>>;

using kernels::Element;

constexpr Element kBlocks[] = {Element::kQ4_0, Element::kQ4_1, Element::kQ8_0};

bool AreInt8Rows(const at::Tensor& weight) {
  const int64_t in = weight.dim() == 2 ? weight.size(1) - Int8RowBytes(0) : 0;
  return in > 0 && in % kInt8RowGroup == 0;
}

Element ElementOfBytes(const at::Tensor& weight) {
  if (AreInt8Rows(weight)) return Element::kInt8Rows;
  TORCH_CHECK(weight.dim() == 3,
              "LinearWeight: a weight of bytes must be [out, in / 32, 18, 20 or ",
              "34], blocks of Q4_0, Q4_1 or Q8_0, or [out, 4 + in], `in` a multiple of ",
              kInt8RowGroup, ", not ", weight.sizes());
  for (const Element element : kBlocks) {
    if (weight.size(2) == BlockBytes(element)) return element;
  }
  TORCH_CHECK(false, "LinearWeight: blocks must have 18 (Q4_0), 20 (Q4_1) or 34 bytes (Q8_0), not ",
              weight.size(2));
}

Element ElementOf(const at::Tensor& weight) {
  if (weight.scalar_type() == at::kByte) return ElementOfBytes(weight);
  const bool known = weight.scalar_type() == at::kFloat || weight.scalar_type() == at::kBFloat16;
  TORCH_CHECK(known, "LinearWeight: weight must be float32, bfloat16 or uint8, not ",
              weight.scalar_type());
  return weight.scalar_type() == at::kFloat ? Element::kFloat32 : Element::kBfloat16;
}

int64_t InputsOf(const at::Tensor& weight) {
  const Element element = ElementOf(weight);
  if (IsBlocks(element)) return weight.size(1) * kernels::kBlockInputs;
  return weight.size(1) - (element == Element::kInt8Rows ? Int8RowBytes(0) : 0);
}

void CheckRowScales(const at::Tensor& weight) {
  const int64_t bad = FirstInt8RowNotFinite(weight.contiguous().const_data_ptr<uint8_t>(),
                                            weight.size(0), InputsOf(weight));
  TORCH_CHECK(bad < 0, "LinearWeight: row ", bad, " has a scale that is not finite");
}

void CheckBlockScales(const at::Tensor& weight) {
  const at::Tensor blocks = weight.contiguous();
  const int64_t bad = FirstBlockNotFinite(ElementOf(blocks), blocks.const_data_ptr<uint8_t>(),
                                          blocks.size(0) * blocks.size(1));
  TORCH_CHECK(bad < 0, "LinearWeight: row ", bad / blocks.size(1), " has a scale or minimum that ",
              "is not finite, in block ", bad % blocks.size(1));
}

void Check(const at::Tensor& weight, const std::optional<at::Tensor>& bias) {
  const Element element = ElementOf(weight);
  TORCH_CHECK(
      weight.device().is_cpu() && weight.numel() > 0 && (weight.dim() == 2 || IsBlocks(element)),
      "LinearWeight: weight must be [out, in] on the CPU, not ", weight.sizes());
  if (IsBlocks(element)) CheckBlockScales(weight);
  if (element == Element::kInt8Rows) CheckRowScales(weight);
  if (!bias.has_value()) return;
  TORCH_CHECK(bias->scalar_type() == at::kFloat && bias->dim() == 1 &&
                  bias->size(0) == weight.size(0) && bias->device().is_cpu(),
              "LinearWeight: bias must be float32 [", weight.size(0), "], not ", bias->sizes());
}

at::Tensor EmptyLike(const PackedMatrix& matrix) {
  if (matrix.element() == Element::kInt8Rows) {
    return at::empty({matrix.out(), Int8RowBytes(matrix.in())}, at::kByte);
  }
  if (IsBlocks(matrix.element())) {
    const int64_t groups = matrix.in() / kernels::kBlockInputs;
    return at::empty({matrix.out(), groups, BlockBytes(matrix.element())}, at::kByte);
  }
  const bool is_float = matrix.element() == Element::kFloat32;
  return at::empty({matrix.out(), matrix.in()}, is_float ? at::kFloat : at::kBFloat16);
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
    matrix_.emplace(ElementOf(weight_), weight_.const_data_ptr(), weight_.size(0),
                    InputsOf(weight_),
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
  at::Tensor weight = EmptyLike(*matrix_);
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
