// How long the operators take in the sizes of SmolLM2-135M: each with the bytes and the operations
// a second that it comes to, and all matrix products of one step. Settings (environment): THREADS
// (2) and ISA (auto). Time them on a machine that does nothing else.
#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <benchmark/benchmark.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <string>
#include <vector>

#include "engine/torch/ops/huge_memory.h"
#include "engine/torch/ops/isa.h"
#include "engine/torch/ops/kv_shape.h"
#include "engine/torch/ops/linear_weight.h"
#include "engine/torch/ops/step_context.h"
#include "engine/torch/ops/thread_pool.h"

namespace sinkstream {
namespace {

using at::Tensor;
using WeightPtr = c10::intrusive_ptr<LinearWeight>;

template <typename Signature>
auto Operator(const char* name) {
  return c10::Dispatcher::singleton()
      .findSchemaOrThrow((std::string("sinkstream::") + name).c_str(), "")
      .typed<Signature>();
}

// How weights are stored, and KV; numbers are arguments of the benchmarks.
enum Storage : int64_t { kFloat32, kBfloat16, kInt8Rows, kQ8_0, kQ4_0, kQ4_1, kInt8 };
constexpr const char* kStorageNames[] = {"float32", "bfloat16", "int8 rows", "q8_0",
                                         "q4_0",    "q4_1",     "int8"};

Tensor Blocks(int64_t out, int64_t in, int64_t block_bytes) {
  Tensor blocks = at::randint(0, 256, {out, in / 32, block_bytes}, at::kByte);
  blocks.slice(2, 1, 2).fill_(0x20);  // of scales: about 1 / 128
  if (block_bytes == 20) blocks.slice(2, 3, 4).fill_(0xa8);
  return blocks;
}

Tensor Rows(int64_t out, int64_t in) {
  Tensor rows = at::randint(0, 256, {out, int64_t{sizeof(float)} + in}, at::kByte);
  rows.slice(1, 0, 4).copy_(at::full({out, 1}, 1.0f / 128).view(at::kByte));
  return rows;
}

WeightPtr Weight(Storage storage, int64_t out, int64_t in) {
  const auto make = [](const Tensor& weight) {
    auto made = c10::make_intrusive<LinearWeight>(weight, std::nullopt);
    made->matrix();
    return made;
  };
  switch (storage) {
    case kFloat32:
      return make(at::randn({out, in}));
    case kBfloat16:
      return make(at::randn({out, in}).to(at::kBFloat16));
    case kInt8Rows:
      return make(Rows(out, in));
    case kQ8_0:
      return make(Blocks(out, in, 34));
    case kQ4_0:
      return make(Blocks(out, in, 18));
    case kQ4_1:
      return make(Blocks(out, in, 20));
    case kInt8:  // KV alone
      break;
  }
  return {};
}

double WeightBytes(Storage storage, int64_t out, int64_t in) {
  constexpr double kBytes[] = {4, 2, 1, 34.0 / 32, 18.0 / 32, 20.0 / 32};
  return kBytes[storage] * static_cast<double>(out * in);
}

void Report(benchmark::State& state, double bytes, double operations) {
  using benchmark::Counter;
  state.counters["bytes/s"] =
      Counter(bytes, Counter::kIsIterationInvariantRate, Counter::OneK::kIs1000);
  state.counters["FLOP/s"] =
      Counter(operations, Counter::kIsIterationInvariantRate, Counter::OneK::kIs1000);
}

struct Shape {
  int64_t out;
  int64_t in;
};
constexpr Shape kLayer[] = {{960, 576}, {576, 576}, {3072, 576}, {576, 1536}};
constexpr Shape kHead = {49152, 576};
constexpr int kLayers = 30;

// What memory gives the operators' threads together: more than any cache holds, read once.
void ReadMemory(benchmark::State& state) {
  constexpr int64_t kWords = int64_t{1} << 27;  // of 8 bytes
  const Tensor memory = at::ones({kWords}, at::kLong);
  const int64_t* words = memory.const_data_ptr<int64_t>();
  std::atomic<int64_t> sum = 0;
  for (auto _ : state) {
    OperatorPool().ParallelFor(kWords, int64_t{1} << 20, [&](int64_t begin, int64_t end) {
      sum += std::accumulate(words + begin, words + end, int64_t{0});
    });
  }
  if (sum % kWords != 0) state.SkipWithError("a sum is wrong");
  Report(state, 8.0 * kWords, 0);
}
BENCHMARK(ReadMemory)->Unit(benchmark::kMillisecond)->UseRealTime();

// All matrix products of a step; `head` rows go through the head too.
void StepProducts(benchmark::State& state) {
  const auto storage = static_cast<Storage>(state.range(0));
  const int64_t rows = state.range(1), head_rows = state.range(2);
  const auto linear = Operator<Tensor(const Tensor&, const WeightPtr&)>("linear");
  std::vector<WeightPtr> weights;
  double bytes = 0, products = 0;
  for (int layer = 0; layer < kLayers; ++layer) {
    for (const Shape& shape : kLayer) {
      weights.push_back(Weight(storage, shape.out, shape.in));
      bytes += WeightBytes(storage, shape.out, shape.in);
      products += static_cast<double>(shape.out * shape.in * rows);
    }
  }
  const Storage head_storage = storage > kQ8_0 ? kQ8_0 : storage;
  const WeightPtr head = Weight(head_storage, kHead.out, kHead.in);
  if (head_rows > 0) bytes += WeightBytes(head_storage, kHead.out, kHead.in);
  products += static_cast<double>(kHead.out * kHead.in * head_rows);
  const Tensor x = at::randn({rows, 576}), wide = at::randn({rows, 1536});
  for (auto _ : state) {
    for (size_t i = 0; i < weights.size(); ++i) {
      benchmark::DoNotOptimize(linear.call(i % 4 == 3 ? wide : x, weights[i]));
    }
    if (head_rows > 0) benchmark::DoNotOptimize(linear.call(x.slice(0, 0, head_rows), head));
  }
  state.SetLabel(kStorageNames[storage]);
  Report(state, bytes, 2 * products);
}

void RmsNorm(benchmark::State& state) {
  const auto rms_norm = Operator<Tensor(const Tensor&, const Tensor&, double)>("rms_norm");
  const Tensor x = at::randn({state.range(0), 576}), weight = at::ones({576});
  for (auto _ : state) benchmark::DoNotOptimize(rms_norm.call(x, weight, 1e-5));
  const auto elements = static_cast<double>(x.numel());
  Report(state, 8 * elements, 4 * elements);
}
BENCHMARK(RmsNorm)->ArgName("rows")->Arg(1)->Arg(32)->Arg(512)->UseRealTime();

void SiluMul(benchmark::State& state) {
  const auto silu_mul = Operator<Tensor(const Tensor&)>("silu_mul");
  const Tensor gate_up = at::randn({state.range(0), 2 * 1536});
  for (auto _ : state) benchmark::DoNotOptimize(silu_mul.call(gate_up));
  const auto elements = static_cast<double>(gate_up.numel() / 2);
  Report(state, 12 * elements, 20 * elements);
}
BENCHMARK(SiluMul)->ArgName("rows")->Arg(1)->Arg(32)->Arg(512)->UseRealTime();

// What a norm, and a gate, cost within a product: beside Linear of the same sizes.
void RmsNormLinear(benchmark::State& state) {
  const auto fused =
      Operator<Tensor(const Tensor&, const Tensor&, double, const WeightPtr&)>("rms_norm_linear");
  const WeightPtr weight = Weight(kInt8Rows, 960, 576);
  const Tensor x = at::randn({state.range(0), 576}), norm = at::ones({576});
  for (auto _ : state) benchmark::DoNotOptimize(fused.call(x, norm, 1e-5, weight));
  Report(state, WeightBytes(kInt8Rows, 960, 576),
         2 * 960 * 576 * static_cast<double>(state.range(0)));
}
BENCHMARK(RmsNormLinear)->ArgName("rows")->Arg(1)->Arg(32)->Arg(512)->UseRealTime();

void SiluMulLinearAdd(benchmark::State& state) {
  const auto fused =
      Operator<Tensor(const Tensor&, const WeightPtr&, const Tensor&)>("silu_mul_linear_add");
  const WeightPtr weight = Weight(kInt8Rows, 576, 1536);
  const int64_t rows = state.range(0);
  const Tensor gate_up = at::randn({rows, 2 * 1536}), residual = at::randn({rows, 576});
  for (auto _ : state) benchmark::DoNotOptimize(fused.call(gate_up, weight, residual));
  Report(state, WeightBytes(kInt8Rows, 576, 1536), 2 * 576 * 1536 * static_cast<double>(rows));
}
BENCHMARK(SiluMulLinearAdd)->ArgName("rows")->Arg(1)->Arg(32)->Arg(512)->UseRealTime();

constexpr int64_t kKvHeads = 3, kHeadDim = 64;

// On huge pages, as a server's lies (kv_storage.h).
Tensor Kv(Storage storage, int64_t blocks) {
  using kernels::Element;
  const Element element = storage == kInt8 ? Element::kInt8 : Element::kFloat32;
  const auto type = storage == kInt8       ? at::kChar
                    : storage == kBfloat16 ? at::kBFloat16
                                           : at::kFloat;
  const auto shape = KvShape(element, kLayers, blocks, kKvHeads, kHeadDim);
  const auto bytes = static_cast<size_t>(c10::multiply_integers(shape)) * c10::elementSize(type);
  const HugeBuffer buffer = AllocateHuge(bytes);
  Tensor kv = at::from_blob(buffer.data, shape, [buffer](void*) {}, type);
  if (storage != kInt8) return kv.normal_();
  kv.random_(-127, 128);
  kv.slice(4, kernels::kBlockTokens * kHeadDim).view(at::kFloat).fill_(1.0f / 64);
  return kv;
}

// A step of the last `rows` tokens of each of so many windows, which they fill.
c10::intrusive_ptr<StepContext> LastRows(const Tensor& kv, int64_t sessions, int64_t rows,
                                         int64_t window) {
  const int64_t blocks = window / kernels::kBlockTokens;
  Tensor lines = at::zeros({sessions, kSequenceFields}, at::kLong);
  for (int64_t s = 0; s < sessions; ++s) {
    const int64_t first = s * blocks;
    const int64_t line[] = {window - rows, rows, 0, window, first, first, blocks, 0, 0};
    std::copy(std::begin(line), std::end(line), lines[s].data_ptr<int64_t>());
  }
  return c10::make_intrusive<StepContext>(kv, kHeadDim, lines,
                                          at::arange(sessions * blocks, at::kInt));
}

// The head of a step whose rows want their logits, or their peaks alone.
void Head(benchmark::State& state) {
  const int64_t rows = state.range(0);
  const auto logits =
      Operator<Tensor(const Tensor&, const WeightPtr&, const c10::intrusive_ptr<StepContext>&)>(
          "logits");
  const WeightPtr head = Weight(kQ8_0, kHead.out, kHead.in);
  const Tensor x = at::randn({rows, kHead.in}), kv = Kv(kInt8, 1);
  const std::vector<uint8_t> alone(static_cast<size_t>(rows), state.range(1) != 0 ? 1 : 0);
  for (auto _ : state) {
    const auto step = LastRows(kv, 1, 1, kernels::kBlockTokens);
    step->AskPeaks(alone);
    benchmark::DoNotOptimize(logits.call(x, head, step));
  }
  Report(state, WeightBytes(kQ8_0, kHead.out, kHead.in),
         2 * static_cast<double>(kHead.out * kHead.in * rows));
}
BENCHMARK(Head)
    ->ArgNames({"rows", "peaks_alone"})
    ->ArgsProduct({{1, 32, 160}, {0, 1}})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

// One layer after the other of a model's 30, so that KV comes from memory as it does in a step.
void Attend(benchmark::State& state, int64_t sessions, int64_t rows, int64_t window,
            Storage storage) {
  constexpr int64_t kHeads = 9;
  const auto attention = Operator<Tensor(
      const Tensor&, const std::optional<Tensor>&, int64_t, int64_t, int64_t, int64_t, double,
      const c10::intrusive_ptr<StepContext>&, const std::optional<Tensor>&)>("sink_attention");
  const Tensor kv = Kv(storage, sessions * window / kernels::kBlockTokens);
  const auto step = LastRows(kv, sessions, rows, window);
  const Tensor qkv = at::randn({sessions * rows, (kHeads + 2 * kKvHeads) * kHeadDim});
  int64_t layer = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(attention.call(qkv, std::nullopt, layer, kHeads, kKvHeads, kHeadDim,
                                            0.125, step, std::nullopt));
    layer = (layer + 1) % kLayers;
  }
  state.SetLabel(kStorageNames[storage]);
  const auto attended = static_cast<double>(sessions * rows * (2 * window - rows + 1) * kHeadDim);
  Report(state, static_cast<double>(kv.nbytes()) / kLayers, 2 * attended * kHeads);
}

void DecodeAttention(benchmark::State& state) {
  Attend(state, state.range(0), 1, state.range(1), static_cast<Storage>(state.range(2)));
}
BENCHMARK(DecodeAttention)
    ->ArgNames({"sessions", "window", ""})
    ->ArgsProduct({{1, 8, 32}, {96, 512}, {kFloat32, kBfloat16, kInt8}})
    ->UseRealTime();

void PrefillAttention(benchmark::State& state) {
  Attend(state, 1, state.range(0), state.range(1), static_cast<Storage>(state.range(2)));
}
BENCHMARK(PrefillAttention)
    ->ArgNames({"rows", "window", ""})
    ->ArgsProduct({{16, 64}, {256, 1024}, {kFloat32, kBfloat16, kInt8}})
    ->UseRealTime();

void StepArguments(benchmark::internal::Benchmark* bench) {
  for (const int64_t storage : {kFloat32, kBfloat16, kInt8Rows, kQ8_0, kQ4_0, kQ4_1}) {
    for (const int64_t rows : {1, 2, 4, 8, 16, 32, 64}) bench->Args({storage, rows, rows});
    bench->Args({storage, 512, 0});
  }
}
BENCHMARK(StepProducts)
    ->ArgNames({"", "rows", "head"})
    ->Apply(StepArguments)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

}  // namespace
}  // namespace sinkstream

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  at::set_num_threads(1);  // libtorch's own would spin beside the operators'
  const char* isa = std::getenv("ISA");
  const char* threads = std::getenv("THREADS");
  if (!sinkstream::SelectIsa(isa == nullptr ? "auto" : isa) ||
      !sinkstream::SetOperatorThreads(threads == nullptr ? 2 : std::atoi(threads)).ok()) {
    std::fprintf(stderr, "operators_bench: ISA or THREADS is not of this machine\n");
    return 2;
  }
  benchmark::AddCustomContext("isa", sinkstream::Kernels().name);
  benchmark::AddCustomContext("threads", std::to_string(sinkstream::OperatorPool().threads()));
  benchmark::RunSpecifiedBenchmarks();
}
