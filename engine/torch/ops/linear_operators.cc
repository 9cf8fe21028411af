// The operators that multiply by a LinearWeight or read rows of one: linear, linear_add, what is
// fused with those, logits and embedding.
#include <ATen/ops/empty.h>

#include <algorithm>

#include "engine/torch/ops/head_peaks.h"
#include "engine/torch/ops/isa.h"
#include "engine/torch/ops/linear_weight.h"
#include "engine/torch/ops/operator_call.h"
#include "engine/torch/ops/operators.h"
#include "engine/torch/ops/rowwise_calls.h"
#include "engine/torch/ops/step_context.h"

namespace sinkstream {
namespace {

using at::Tensor;
using kernels::Range;
using StepPtr = c10::intrusive_ptr<StepContext>;
using WeightPtr = c10::intrusive_ptr<LinearWeight>;

void MakeNone(int64_t, float*) {}

// The rows that are multiplied: in memory, or made one by one where they are taken.
struct Rows {
  int64_t count;
  int64_t size;
  const float* x;  // [count][size]; null: they are made, or there are none
  // Writes a row; called once for each, by any thread.
  absl::FunctionRef<void(int64_t row, float* to)> make = MakeNone;
  int64_t least = 8;  // of a thread's share where they are made or quantised
};

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

// The rows, in the caller's scratch until its next call where they are made.
const float* RowsInMemory(const Rows& rows) {
  struct AllRows;
  if (rows.x != nullptr) return rows.x;
  auto* x =
      static_cast<float*>(ThreadScratch<AllRows>(rows.count * rows.size * int64_t{sizeof(float)}));
  ForRows(rows.count, rows.least, [&](Range part) {
    for (int64_t row = part.begin; row < part.end; ++row) rows.make(row, x + row * rows.size);
  });
  return x;
}

// Makes a row, and quantises it while it is in the cache.
void QuantizeMade(const Rows& rows, const kernels::QuantizeCall& call, int64_t row) {
  struct OneRow;
  auto* x = static_cast<float*>(ThreadScratch<OneRow>(rows.size * int64_t{sizeof(float)}));
  rows.make(row, x);
  kernels::QuantizeCall alone = call;  // of a call for all rows, whose first row is this one
  alone.x = x;
  alone.codes += row * call.group;
  alone.groups += row;
  Kernels().quantize(alone, {0, 1});
}

kernels::QuantizeCall QuantizeRows(const Rows& rows, const PackedMatrix& matrix) {
  struct Codes;
  struct Groups;
  const int64_t groups = rows.count * (rows.size / matrix.group());
  const kernels::QuantizeCall call = {
      rows.x,
      static_cast<int8_t*>(ThreadScratch<Codes>(rows.count * rows.size)),
      static_cast<kernels::ActivationGroup*>(
          ThreadScratch<Groups>(groups * int64_t{sizeof(kernels::ActivationGroup)})),
      rows.count,
      rows.size,
      matrix.group()};
  ForRows(rows.count, rows.least, [&](Range part) {
    if (rows.x != nullptr) return Kernels().quantize(call, part);
    for (int64_t row = part.begin; row < part.end; ++row) QuantizeMade(rows, call, row);
  });
  return call;
}

void MultiplyQuantized(const Rows& rows, const PackedMatrix& matrix, const Destination& to) {
  struct Panel;
  constexpr int64_t kRowBlock = 128;
  const kernels::QuantizeCall quantized = QuantizeRows(rows, matrix);
  const kernels::KernelTable& table = Kernels();
  ForPanels(matrix, rows.count, kRowBlock, to,
            [&](const kernels::LinearOutput& output, Range panels, Range part) {
              const kernels::QuantizedLinearCall call = {quantized.codes, quantized.groups,
                                                         matrix.data(),   rows.count,
                                                         matrix.in(),     output};
              table.quantized_linear(matrix.element(), call, panels, part,
                                     ThreadScratch<Panel>(table.quantized_linear_scratch(call)));
            });
}

void Multiply(const Rows& rows, const PackedMatrix& matrix, const Destination& to) {
  constexpr int64_t kRowBlock = 96;
  const float* x = RowsInMemory(rows);
  ForPanels(matrix, rows.count, kRowBlock, to,
            [&](const kernels::LinearOutput& output, Range panels, Range part) {
              const kernels::LinearCall call = {x, matrix.data(), matrix.in(), output};
              Kernels().linear(matrix.element(), call, panels, part);
            });
}

// That `inputs`, all or half of what a row of an argument has, are the weight's.
void CheckInputs(const char* op, const char* argument, const Tensor& x, int64_t inputs,
                 const PackedMatrix& matrix) {
  TORCH_CHECK(inputs == matrix.in(), op, ": ", argument, " is ", x.sizes(),
              inputs == x.size(1) ? "" : ", half of it an input", ", the weight takes ",
              matrix.in());
}

Tensor RunLinear(const Rows& rows, const PackedMatrix& matrix, const float* residual = nullptr,
                 HeadPeaks* peaks = nullptr) {
  Tensor y = at::empty({rows.count, matrix.out()}, at::kFloat);
  const Destination to = {{matrix.bias(), residual, y.mutable_data_ptr<float>(), matrix.out()},
                          peaks};
  const auto multiply = IsQuantized(matrix.element()) ? &MultiplyQuantized : &Multiply;
  multiply(rows, matrix, to);
  return y;
}

// An argument x of `op` that is multiplied as it is.
Tensor CheckedX(const char* op, const Tensor& x, const PackedMatrix& matrix) {
  Tensor input = Floats(x, op, "x", 2);
  CheckInputs(op, "x", x, x.size(1), matrix);
  return input;
}

Rows RowsOf(const Tensor& input) {
  return {input.size(0), input.size(1), input.const_data_ptr<float>()};
}

// What is added to the `rows` of a result.
Tensor CheckedResidual(const char* op, const Tensor& residual, int64_t rows,
                       const PackedMatrix& matrix) {
  Tensor added = Floats(residual, op, "residual", 2);
  TORCH_CHECK(added.size(0) == rows && added.size(1) == matrix.out(), op, ": residual is ",
              added.sizes());
  return added;
}

Tensor Linear(const Tensor& x, const WeightPtr& weight) {
  const Tensor input = CheckedX("linear", x, weight->matrix());
  return RunLinear(RowsOf(input), weight->matrix());
}

Tensor LinearAdd(const Tensor& x, const WeightPtr& weight, const Tensor& residual) {
  const char* const op = "linear_add";
  const Tensor input = CheckedX(op, x, weight->matrix());
  const Tensor added = CheckedResidual(op, residual, input.size(0), weight->matrix());
  return RunLinear(RowsOf(input), weight->matrix(), added.const_data_ptr<float>());
}

Tensor RmsNormLinear(const Tensor& x, const Tensor& norm, double epsilon, const WeightPtr& weight) {
  const char* const op = "rms_norm_linear";
  const RmsNormInput input = CheckedRmsNorm(op, x, "norm", norm, epsilon);
  CheckInputs(op, "x", x, input.call.size, weight->matrix());
  const auto make = [&](int64_t row, float* to) {
    kernels::RmsNormCall call = input.call;
    call.x += row * call.size;
    call.y = to;
    Kernels().rms_norm(call, {0, 1});
  };
  const Rows rows = {x.size(0), input.call.size, nullptr, make};
  return RunLinear(rows, weight->matrix());
}

Tensor SiluMulLinearAdd(const Tensor& gate_up, const WeightPtr& weight, const Tensor& residual) {
  const char* const op = "silu_mul_linear_add";
  const GatedInput input = CheckedGated(op, gate_up);
  CheckInputs(op, "gate_up", gate_up, input.call.size, weight->matrix());
  const Tensor added = CheckedResidual(op, residual, gate_up.size(0), weight->matrix());
  const auto make = [&](int64_t row, float* to) {
    kernels::GatedCall call = input.call;
    call.gate_up += row * 2 * call.size;
    call.y = to;
    Kernels().silu_mul(call, {0, 1});
  };
  const Rows rows = {gate_up.size(0), input.call.size, nullptr, make, 4};
  return RunLinear(rows, weight->matrix(), added.const_data_ptr<float>());
}

Tensor Logits(const Tensor& x, const WeightPtr& head, const StepPtr& step) {
  const Tensor input = CheckedX("logits", x, head->matrix());
  HeadPeaks* const peaks = step->head_peaks();
  TORCH_CHECK(peaks == nullptr || input.size(0) == peaks->rows(), "logits: x is ", x.sizes(),
              ", peaks are asked for of ", peaks->rows(), " rows");
  TORCH_CHECK(peaks == nullptr || peaks->Begin(head->matrix().out()),
              "logits: called more than once in a step");
  return RunLinear(RowsOf(input), head->matrix(), nullptr, peaks);
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
  add("rms_norm_linear(Tensor x, Tensor norm, float eps, " SINKSTREAM_LINEAR_WEIGHT " w) -> Tensor",
      &RmsNormLinear);
  add("silu_mul_linear_add(Tensor gate_up, " SINKSTREAM_LINEAR_WEIGHT
      " w, Tensor residual) -> Tensor",
      &SiluMulLinearAdd);
  add("logits(Tensor x, " SINKSTREAM_LINEAR_WEIGHT " head, " SINKSTREAM_STEP_CONTEXT
      " step) -> Tensor",
      &Logits);
  add("embedding(Tensor ids, " SINKSTREAM_LINEAR_WEIGHT " w) -> Tensor", &Embedding);
}

}  // namespace sinkstream
