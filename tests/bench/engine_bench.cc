// How long what one thread does in a step takes, in the sizes of SmolLM2-135M: planning, sampling,
// tokens to text and back. Settings (environment): TOKENIZER, a tokenizer.json; without it text is
// left out. Time them on a machine that does nothing else.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "engine/sampling/sampler.h"
#include "engine/step/step_planner.h"
#include "engine/text/detokenizer.h"
#include "engine/text/tokenizer.h"
#include "engine/text/tokenizer_json.h"

namespace sinkstream {
namespace {

// Of so many sessions seven in eight decode, the others read prompts.
void PlanStep(benchmark::State& state) {
  std::vector<StepCandidate> sessions(static_cast<size_t>(state.range(0)));
  for (size_t i = 0; i < sessions.size(); ++i) {
    sessions[i].index = static_cast<int32_t>(i);
    sessions[i].decodes = i % 8 != 0;
    sessions[i].prompt_left = sessions[i].decodes ? 0 : 500;
    sessions[i].planned_at = (i * 7919) % sessions.size();
  }
  std::vector<StepCandidate> candidates;
  std::vector<PlannedRows> plan;
  for (auto _ : state) {
    candidates = sessions;
    sinkstream::PlanStep(absl::MakeSpan(candidates), StepBudget{}, plan);
    benchmark::DoNotOptimize(plan.data());
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(PlanStep)->ArgName("sessions")->Arg(1)->Arg(32)->Arg(256);

std::vector<float> Logits(size_t vocabulary) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0, 3);
  std::vector<float> logits(vocabulary);
  for (float& logit : logits) logit = normal(random);
  return logits;
}

void Sample(benchmark::State& state, const SamplingParams& params) {
  const std::vector<float> logits = Logits(49'152);
  std::vector<TokenId> recent(256);
  for (size_t i = 0; i < recent.size(); ++i) recent[i] = static_cast<TokenId>(i * 13);
  Sampler sampler;
  uint64_t index = 0;
  for (auto _ : state) {
    const auto sampled = sampler.Sample({logits}, params, recent, UniformDraw(1, ++index));
    if (!sampled.ok()) return state.SkipWithError(std::string(sampled.status().message()).c_str());
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(logits.size() * sizeof(float)));
}

SamplingParams Greedy() {
  SamplingParams params;
  params.temperature = 0;
  return params;
}

SamplingParams Drawn(int32_t top_k, double top_p, double repetition_penalty) {
  SamplingParams params;
  params.temperature = 0.8;
  params.top_k = top_k;
  params.top_p = top_p;
  params.repetition_penalty = repetition_penalty;
  return params;
}

BENCHMARK_CAPTURE(Sample, greedy_without_peak, Greedy());
BENCHMARK_CAPTURE(Sample, temperature, Drawn(0, 1, 1));
BENCHMARK_CAPTURE(Sample, top_k_40, Drawn(40, 1, 1));
BENCHMARK_CAPTURE(Sample, top_p_0_9, Drawn(0, 0.9, 1));
BENCHMARK_CAPTURE(Sample, top_p_0_9_penalised, Drawn(0, 0.9, 1.1));

// Absent, and the benchmark with it, without the setting TOKENIZER.
std::unique_ptr<Tokenizer> TokenizerOf(benchmark::State& state) {
  const char* path = std::getenv("TOKENIZER");
  std::ifstream file(path == nullptr ? "" : path, std::ios::binary);
  const std::string json{std::istreambuf_iterator<char>(file), {}};
  auto tokenizer = ParseTokenizer(json);
  if (tokenizer.ok()) return *std::move(tokenizer);
  state.SkipWithError(path == nullptr ? "no TOKENIZER"
                                      : std::string(tokenizer.status().message()).c_str());
  return nullptr;
}

constexpr char kPassage[] =
    "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age "
    "of foolishness, it was the epoch of belief, it was the epoch of incredulity, it was the "
    "season of Light, it was the season of Darkness; 24 hours a day, caf\xc3\xa9s and all.\n";

std::string Text(int64_t bytes) {
  std::string text;
  while (static_cast<int64_t>(text.size()) < bytes) text += kPassage;
  return text;
}

void Encode(benchmark::State& state) {
  const auto tokenizer = TokenizerOf(state);
  if (tokenizer == nullptr) return;
  const std::string text = Text(state.range(0));
  for (auto _ : state) benchmark::DoNotOptimize(tokenizer->Encode(text));
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(text.size()));
}
BENCHMARK(Encode)->ArgName("bytes")->Arg(256)->Arg(65'536);

void Detokenize(benchmark::State& state) {
  const auto tokenizer = TokenizerOf(state);
  if (tokenizer == nullptr) return;
  const std::vector<TokenId> ids = tokenizer->Encode(Text(4'096));
  for (auto _ : state) {
    Detokenizer detokenizer(*tokenizer, {"\n\nUser:"});
    for (const TokenId id : ids) benchmark::DoNotOptimize(detokenizer.Push(id));
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(ids.size()));
}
BENCHMARK(Detokenize);

}  // namespace
}  // namespace sinkstream
