#include "client/eval/perplexity.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/eval/console.h"
#include "client/eval/evaluation.h"
#include "client/eval/perplexity_chart.h"
#include "client/eval/statistics.h"
#include "client/tool/drawing_file.h"
#include "client/tool/standard_output.h"

namespace sinkstream::eval {
namespace {

constexpr int kRunningValues = 100;

Flag PolicyFlag(PolicyKind* target) {
  return {
      "policy", "POLICY",
      "what a token sees: dense (all before it, at most the trained context), window (the last\n"
      "      W), sink (the first S and the last W) or recompute (the last S + W, read afresh for\n"
      "      each token: slow) (default: sink)",
      [target](std::string_view value) {
        const auto kind = PolicyKindByName(value);
        if (!kind) {
          return absl::InvalidArgumentError("must be dense, window, sink or recompute");
        }
        *target = *kind;
        return absl::OkStatus();
      }};
}

// The dense policy ends where the model's experience does.
absl::Status LimitDense(const PerplexityOptions& options, int64_t trained_context,
                        std::vector<int32_t>& ids) {
  if (options.policy != PolicyKind::kDense || std::ssize(ids) <= trained_context) {
    return absl::OkStatus();
  }
  Note(absl::StrCat("dense: only the first ", trained_context,
                    " tokens, the context that the model was trained on"));
  ids.resize(static_cast<size_t>(trained_context));
  if (options.warmup < trained_context) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("--warmup: is ", options.warmup, "; must be less than these tokens"));
}

absl::StatusOr<EvaluationPlan> MakePlan(const PerplexityOptions& options, ScoreClient& client) {
  EvaluationPlan plan;
  plan.parallel = options.subject.parallel;
  auto ids = ReadIds(options.subject, {"--warmup", options.warmup}, client);
  if (!ids.ok()) return ids.status();
  plan.ids = std::move(*ids);
  const int64_t trained_context = client.model().trained_context();
  absl::Status status = LimitDense(options, trained_context, plan.ids);
  if (!status.ok()) return status;
  const CacheFlags cache = WithDefaults(options.cache, client.model());
  const int64_t tokens = std::ssize(plan.ids);
  const Policy policy = MakePolicy(options.policy, cache.sinks, cache.window, tokens);
  status = CheckPolicy(policy, trained_context);
  if (!status.ok()) return status;
  plan.policies = {policy};
  if (policy.recomputes()) plan.samples = SampleEvenly(options.warmup, tokens, 0);
  return plan;
}

Json Report(const PerplexityOptions& options, const v1::GetModelResponse& model,
            const Evaluation& evaluation, const absl::Status& status) {
  const Policy& policy = evaluation.plan().policies.front();
  const std::vector<double>& nll = evaluation.nll(0);
  const ScoreSum sum = Sum(nll, options.warmup);
  Json report = {
      {"perplexity", Perplexity(sum)}, {"mean_nll", sum.Mean()},      {"tokens", nll.size()},
      {"warmup", options.warmup},      {"scored_tokens", sum.tokens}, {"policy", Name(policy.kind)},
      {"sinks", policy.sinks},         {"window", policy.window},     {"complete", status.ok()}};
  if (!status.ok()) report["error"] = std::string(status.message());
  report.update(DescribeSubject(options.subject, model));
  for (const PerplexityAt& at : RunningPerplexity(nll, options.warmup, kRunningValues)) {
    report["running"].push_back({{"token", at.token}, {"perplexity", at.perplexity}});
  }
  return report;
}

absl::Status Measure(const PerplexityOptions& options, Evaluation& evaluation) {
  const int64_t tokens = std::ssize(evaluation.plan().ids);
  Progress progress = Progress::OnStandardError(tokens, evaluation.begin());
  return evaluation.Run([&](int64_t read) {
    const ScoreSum so_far = Sum(evaluation.nll(0), options.warmup);
    progress.Show(read,
                  so_far.tokens == 0 ? "" : absl::StrFormat("perplexity %.3f", Perplexity(so_far)));
  });
}

Curve CurveOf(const PerplexityOptions& options, const Evaluation& evaluation) {
  return {evaluation.plan().policies.front(), evaluation.nll(0),
          Perplexity(Sum(evaluation.nll(0), options.warmup))};
}

void Print(const PerplexityOptions& options, const Curve& curve, const absl::Status& measured) {
  PrintText(IncompleteMark(measured));
  const int64_t scored = Sum(curve.nll, options.warmup).tokens;
  if (scored == 0) return;  // after an error
  // Without gaps, and to the end where nothing failed.
  absl::PrintF("perplexity %.4f of tokens %d to %d (%s %s)\n", curve.perplexity, options.warmup,
               options.warmup + scored - 1, Name(curve.policy.kind), CacheOf(curve.policy));
}

}  // namespace

std::vector<Flag> PerplexityFlags(PerplexityOptions* options) {
  std::vector<Flag> flags = SubjectFlags(&options->subject);
  flags.push_back(IntegerFlag("warmup", "K",
                              "perplexity is of tokens K to N-1; the first has no score"
                              " (default: 1)",
                              &options->warmup, 1));
  flags.push_back(PolicyFlag(&options->policy));
  for (Flag& flag : WindowFlags(&options->cache)) flags.push_back(std::move(flag));
  flags.push_back(TextFlag("json", "FILE", "write a report there", &options->json));
  flags.push_back(TextFlag("plot", "FILE",
                           "draw log perplexity against position there, as SVG, or as PNG where"
                           " the name\n      ends in .png",
                           &options->plot));
  return flags;
}

absl::Status RunPerplexity(const PerplexityOptions& options, ScoreClient& client) {
  const Picture picture = PictureOf(options.plot);
  absl::Status writable = CheckWritable({options.json});
  writable.Update(CheckDrawing(options.plot, picture));
  if (!writable.ok()) return writable;
  auto plan = MakePlan(options, client);
  if (!plan.ok()) return plan.status();
  Evaluation evaluation(client, std::move(*plan));
  const absl::Status measured = Measure(options, evaluation);
  const Curve curve = CurveOf(options, evaluation);
  Print(options, curve, measured);
  const std::string& model = client.model().name();
  absl::Status kept =
      KeepReport(options.json, Report(options, client.model(), evaluation, measured));
  const plot::Chart chart = PerplexityChart(model, {curve}, curve.policy.cache());
  kept.Update(WriteDrawing(options.plot, picture, plot::Draw(chart)));
  return FirstError(measured, kept, {options.json, options.plot});
}

}  // namespace sinkstream::eval
