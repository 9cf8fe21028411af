// The operators that multiply by a LinearWeight or read rows of one: linear, linear_add, logits and
// embedding.
#include <ATen/ops/empty.h>

#include <algorithm>

#include "engine/torch/ops/head_peaks.h"
#include "engine/torch/ops/isa.h"
#include "engine/torch/ops/linear_weight.h"
#include "engine/torch/ops/operator_call.h"
#include "engine/torch/ops/operators.h"
#include "engine/torch/ops/step_context.h"

namespace sinkstream {
namespace {

using at::Tensor;
using kernels::Range;
using StepPtr = c10::intrusive_ptr<StepContext>;
using WeightPtr = c10::intrusive_ptr<LinearWeight>;

// Where the products of a call go.
struct Destination {
  kernels::LinearOutput output;
  HeadPeaks* peaks = nullptr;  // null: not asked for
};

// Runs one piece of a call: calls `run` with the output to write to. Where peaks are asked for, the
// piece finds its own, and hands them over at its end.
void RunPiece(const Destination& to, absl::FunctionRef<void(const kernels::LinearOutput&)> run) {
  struct Found;
  if (to.peaks == nullptr) return run(to.output);
  const int64_t rows = to.peaks->rows();
  kernels::LinearOutput output = to.output;
  output.peaks = static_cast<kernels::RowPeak*>(
      ThreadScratch<Found>(rows * int64_t{sizeof(kernels::RowPeak)}));
  output.peak_alone = to.peaks->alone();
  std::fill_n(output.peaks, rows, HeadPeaks::kNone);
  run(output);
  to.peaks->Take(output.peaks);
}

// Splits the product, all panels by all rows, into pieces, and calls `body` with parts of them:
// with all rows and several panels if rows are few, else with a block of rows and one panel. In a
// piece panels ascend, so that of equal peaks the first is found first.
void ForPanels(
    const PackedMatrix& matrix, int64_t rows, int64_t row_block, const Destination& to,
    absl::FunctionRef<void(const kernels::LinearOutput&, Range panels, Range rows)> body) {
  const int64_t row_blocks = (rows + row_block - 1) / row_block;
  const int64_t items = matrix.panels() * row_blocks;
  OperatorPool().ParallelFor(items, Grain(items, 1), [&](int64_t begin, int64_t end) {
    RunPiece(to, [&](const kernels::LinearOutput& output) {
      if (row_blocks == 1) return body(output, {begin, end}, {0, rows});
      for (int64_t item = begin; item < end; ++item) {
        const int64_t panel = item / row_blocks, row = item % row_blocks * row_block;
        body(output, {panel, panel + 1}, {row, std::min(row + row_block, rows)});
      }
    });
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
                       const Destination& to) {
  struct Panel;
  constexpr int64_t kRowBlock = 128;
  const kernels::QuantizeCall quantized = QuantizeRows(x, rows, matrix);
  const kernels::KernelTable& table = Kernels();
  ForPanels(matrix, rows, kRowBlock, to,
            [&](const kernels::LinearOutput& output, Range panels, Range part) {
              const kernels::QuantizedLinearCall call = {
                  quantized.codes, quantized.groups, matrix.data(), rows, matrix.in(), output};
              table.quantized_linear(matrix.element(), call, panels, part,
                                     ThreadScratch<Panel>(table.quantized_linear_scratch(call)));
            });
}

void Multiply(const float* x, int64_t rows, const PackedMatrix& matrix, const Destination& to) {
  constexpr int64_t kRowBlock = 96;
  ForPanels(matrix, rows, kRowBlock, to,
            [&](const kernels::LinearOutput& output, Range panels, Range part) {
              const kernels::LinearCall call = {x, matrix.data(), matrix.in(), output};
              Kernels().linear(matrix.element(), call, panels, part);
            });
}

Tensor RunLinear(const Tensor& x, const PackedMatrix& matrix, const float* residual,
                 HeadPeaks* peaks = nullptr) {
  const Tensor input = Floats(x, "linear: x", 2);
  TORCH_CHECK(x.size(1) == matrix.in(), "linear: x is ", x.sizes(), ", the weight takes ",
              matrix.in());
  Tensor y = at::empty({x.size(0), matrix.out()}, x.options());
  const Destination to = {{matrix.bias(), residual, y.mutable_data_ptr<float>(), matrix.out()},
                          peaks};
  const auto multiply = IsQuantized(matrix.element()) ? &MultiplyQuantized : &Multiply;
  multiply(input.const_data_ptr<float>(), x.size(0), matrix, to);
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

Tensor Logits(const Tensor& x, const WeightPtr& head, const StepPtr& step) {
  HeadPeaks* const peaks = step->head_peaks();
  TORCH_CHECK(peaks == nullptr || (x.dim() == 2 && x.size(0) == peaks->rows()), "logits: x is ",
              x.sizes(), ", peaks are asked for of ", peaks->rows(), " rows");
  TORCH_CHECK(peaks == nullptr || peaks->Begin(head->matrix().out()),
              "logits: called more than once in a step");
  return RunLinear(x, head->matrix(), nullptr, peaks);
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

}  // namespace

void RegisterLinearOperators(torch::Library& library) {
  const auto add = [&](const char* schema, auto* function) {
    library.def(schema, torch::dispatch(c10::DispatchKey::CPU, function));
  };
  add("linear(Tensor x, " SINKSTREAM_LINEAR_WEIGHT " w) -> Tensor", &Linear);
  add("linear_add(Tensor x, " SINKSTREAM_LINEAR_WEIGHT " w, Tensor residual) -> Tensor",
      &LinearAdd);
  add("logits(Tensor x, " SINKSTREAM_LINEAR_WEIGHT " head, " SINKSTREAM_STEP_CONTEXT
      " step) -> Tensor",
      &Logits);
  add("embedding(Tensor ids, " SINKSTREAM_LINEAR_WEIGHT " w) -> Tensor", &Embedding);
}

}  // namespace sinkstream
