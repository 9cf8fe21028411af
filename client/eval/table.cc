#include "client/eval/table.h"

#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/eval/console.h"
#include "client/eval/evaluation.h"
#include "client/eval/perplexity_chart.h"
#include "client/eval/statistics.h"
#include "client/eval/table_report.h"
#include "client/tool/drawing_file.h"
#include "client/tool/standard_output.h"

namespace sinkstream::eval {
namespace {

absl::StatusOr<EvaluationPlan> MakePlan(const TableOptions& options, ScoreClient& client,
                                        TablePlaces* places) {
  auto ids = ReadIds(options.subject, {"--warmup", options.warmup}, client);
  if (!ids.ok()) return ids.status();
  const int64_t trained_context = client.model().trained_context();
  const int64_t tokens = std::ssize(*ids);
  EvaluationPlan plan;
  plan.parallel = options.subject.parallel;
  plan.ids = std::move(*ids);
  plan.policies = TablePolicies(options.cache, tokens, trained_context, places);
  const absl::Status status = CheckPolicy(plan.policies[places->window], trained_context);
  if (!status.ok()) return status;
  if (tokens > trained_context) {
    if (options.warmup >= trained_context) {
      return absl::InvalidArgumentError(
          absl::StrCat("--warmup: is ", options.warmup, "; must be less than ", trained_context,
                       ", the context that the model was trained on, where the dense policy ends"));
    }
    Note(absl::StrCat("dense: only the first ", trained_context,
                      " tokens, the context that the model was trained on"));
  }
  plan.samples = SampleEvenly(options.warmup, tokens, options.recompute_tokens);
  plan.compared = {places->sink4, places->window};
  return plan;
}

absl::Status Measure(const TableOptions& options, const TablePlaces& places,
                     Evaluation& evaluation) {
  Progress progress = Progress::OnStandardError(std::ssize(evaluation.plan().ids));
  return evaluation.Run([&](int64_t read) {
    const double window = Perplexity(Sum(evaluation.nll(places.window), options.warmup));
    const double sink4 = Perplexity(Sum(evaluation.nll(places.sink4), options.warmup));
    progress.Show(read, read <= options.warmup
                            ? ""
                            : absl::StrFormat("window %.2f, 4 sinks %.2f", window, sink4));
  });
}

// Of 1 to 8 sinks one stands for all: their curves lie on each other. So does a recomputed curve
// only where each token was recomputed.
plot::Chart MakeChart(const TableOptions& options, const std::string& model,
                      const TablePlaces& places, const Evaluation& evaluation) {
  std::vector<size_t> shown = {0, places.window, places.sink4};
  if (options.recompute_tokens == 0) shown.push_back(places.recompute);
  std::vector<Curve> curves;
  curves.reserve(shown.size());
  for (const size_t i : shown) {
    curves.push_back({evaluation.plan().policies[i], evaluation.nll(i),
                      Perplexity(Sum(evaluation.nll(i), options.warmup))});
  }
  return PerplexityChart(model, curves, options.cache);
}

Json Report(const TableOptions& options, const v1::GetModelResponse& model,
            const TableResult& result, int64_t tokens, const absl::Status& status) {
  Json report = {{"tokens", tokens},
                 {"warmup", options.warmup},
                 {"cache", options.cache},
                 {"complete", status.ok()}};
  if (!status.ok()) report["error"] = std::string(status.message());
  report.update(DescribeSubject(options.subject, model));
  report.update(ToJson(result));
  return report;
}

std::string Heading(const TableOptions& options, const v1::GetModelResponse& model,
                    int64_t tokens) {
  return absl::StrFormat(
      "%s (%s), perplexity of tokens %d to %d of %s from its character %d on\n\n", model.name(),
      model.weight_dtype(), options.warmup, tokens - 1, options.subject.text,
      options.subject.skip_characters);
}

}  // namespace

std::vector<Flag> TableFlags(TableOptions* options) {
  std::vector<Flag> flags = SubjectFlags(&options->subject);
  const auto add = [&flags](Flag flag) { flags.push_back(std::move(flag)); };
  add(IntegerFlag("warmup", "K", "perplexity is of tokens K to N-1 (default: 1024)",
                  &options->warmup, 1));
  add(IntegerFlag("cache", "C", "sinks + window of every row but the dense one (default: 256)",
                  &options->cache, 9));
  add(IntegerFlag("recompute-tokens", "M",
                  "recompute so many tokens, sampled evenly; 0: all, which is slow (default: 200)",
                  &options->recompute_tokens, 0));
  add(TextFlag("markdown", "FILE", "write the table there", &options->markdown));
  add(TextFlag("json", "FILE", "write a report there", &options->json));
  add(TextFlag("svg", "FILE", "draw log perplexity against position there", &options->svg));
  add(TextFlag("png", "FILE", "the same as PNG", &options->png));
  return flags;
}

absl::Status RunTable(const TableOptions& options, ScoreClient& client) {
  absl::Status writable = CheckWritable({options.markdown, options.json});
  writable.Update(CheckDrawing(options.svg, Picture::kSvg));
  writable.Update(CheckDrawing(options.png, Picture::kPng));
  if (!writable.ok()) return writable;
  TablePlaces places;
  auto plan = MakePlan(options, client, &places);
  if (!plan.ok()) return plan.status();
  Evaluation evaluation(client, std::move(*plan));
  const absl::Status measured = Measure(options, places, evaluation);

  const v1::GetModelResponse& model = client.model();
  const TableResult result = Conclude(evaluation, places, options.warmup);
  const int64_t tokens = std::ssize(evaluation.plan().ids);
  const std::string markdown =
      IncompleteMark(measured) + Heading(options, model, tokens) + ToMarkdown(result);
  PrintText(markdown);
  absl::Status kept = KeepReport(options.json, Report(options, model, result, tokens, measured));
  kept.Update(KeepReport(options.markdown, markdown));
  const plot::Chart chart = MakeChart(options, model.name(), places, evaluation);
  kept.Update(WriteDrawing(options.svg, Picture::kSvg, plot::Draw(chart)));
  kept.Update(WriteDrawing(options.png, Picture::kPng, plot::Draw(chart)));
  return FirstError(measured, kept, {options.json, options.markdown, options.svg, options.png});
}

}  // namespace sinkstream::eval
