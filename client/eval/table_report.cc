#include "client/eval/table_report.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/eval/statistics.h"

namespace sinkstream::eval {
namespace {

SampleRow Compare(const Evaluation& evaluation, const TablePlaces& places, size_t compared) {
  const size_t policy = evaluation.plan().compared[compared];
  ScoreSum own, recomputed, divergence;
  for (const double nats : evaluation.divergences(compared)) divergence.Add(nats);
  // Of the samples that both have scored: after an error it is not all of them.
  for (int64_t i = 0; i < divergence.tokens; ++i) {
    const auto token = static_cast<size_t>(evaluation.plan().samples[static_cast<size_t>(i)]);
    own.Add(evaluation.nll(policy)[token]);
    recomputed.Add(evaluation.nll(places.recompute)[token]);
  }
  return {evaluation.plan().policies[policy], Perplexity(own), own.Mean() - recomputed.Mean(),
          divergence.Mean()};
}

// `most`: of the rows that score each token.
std::string TokensOf(const TableRow& row, int64_t most) {
  if (row.tokens == most) return absl::StrCat(most);
  return absl::StrCat(row.tokens, row.policy.kind == PolicyKind::kRecompute ? ", sampled evenly"
                                                                            : ", the first ones");
}

int64_t MostTokens(const TableResult& result) {
  int64_t most = 0;
  for (const TableRow& row : result.rows) most = std::max(most, row.tokens);
  return most;
}

// Nothing if no token was recomputed before an error.
std::string SamplesToMarkdown(const TableResult& result) {
  if (result.sampled_tokens == 0) return "";
  std::string text = absl::StrFormat(
      "\nOn the %d tokens that were recomputed (perplexity %.2f):\n\n"
      "| policy | cache | perplexity | mean NLL gap (nats) | mean KL (nats) |\n"
      "|---|---|---|---|---|\n",
      result.sampled_tokens, result.recomputed_perplexity);
  for (const SampleRow& row : result.samples) {
    absl::StrAppendFormat(&text, "| %s | %s | %.2f | %+.4f | %.4f |\n", Name(row.policy.kind),
                          CacheOf(row.policy), row.perplexity, row.nll_gap, row.divergence);
  }
  return text;
}

}  // namespace

std::vector<Policy> TablePolicies(int64_t cache, int64_t tokens, int64_t trained_context,
                                  TablePlaces* places) {
  std::vector<Policy> policies = {
      MakePolicy(PolicyKind::kDense, 0, 0, std::min(tokens, trained_context))};
  places->window = policies.size();
  policies.push_back(MakePolicy(PolicyKind::kWindow, 0, cache, tokens));
  for (const int64_t sinks : {1, 2, 4, 8}) {
    if (sinks == 4) places->sink4 = policies.size();
    policies.push_back(MakePolicy(PolicyKind::kSink, sinks, cache - sinks, tokens));
  }
  places->recompute = policies.size();
  policies.push_back(MakePolicy(PolicyKind::kRecompute, 0, cache, tokens));
  return policies;
}

TableResult Conclude(const Evaluation& evaluation, const TablePlaces& places, int64_t warmup) {
  TableResult result;
  for (size_t i = 0; i < evaluation.plan().policies.size(); ++i) {
    const ScoreSum sum = Sum(evaluation.nll(i), warmup);
    result.rows.push_back({evaluation.plan().policies[i], Perplexity(sum), sum.Mean(), sum.tokens});
  }
  for (size_t i = 0; i < evaluation.plan().compared.size(); ++i) {
    result.samples.push_back(Compare(evaluation, places, i));
  }
  result.sampled_tokens = result.rows[places.recompute].tokens;
  result.recomputed_perplexity = result.rows[places.recompute].perplexity;
  result.window_ratio =
      result.rows[places.window].perplexity / result.rows[places.sink4].perplexity;
  return result;
}

std::string ToMarkdown(const TableResult& result) {
  std::string text =
      "| policy | cache: sinks + window | perplexity | mean NLL (nats) | tokens |\n"
      "|---|---|---|---|---|\n";
  const int64_t most = MostTokens(result);
  for (const TableRow& row : result.rows) {
    if (row.tokens == 0) continue;  // after an error
    absl::StrAppendFormat(&text, "| %s | %s | %.2f | %.4f | %s |\n", Name(row.policy.kind),
                          CacheOf(row.policy), row.perplexity, row.mean_nll, TokensOf(row, most));
  }
  text += SamplesToMarkdown(result);
  if (most > 0) {
    absl::StrAppendFormat(&text, "\nWindow / 4 sinks, perplexity: %.2f\n", result.window_ratio);
  }
  return text;
}

Json ToJson(const TableResult& result) {
  Json json = {{"rows", Json::array()}};
  for (const TableRow& row : result.rows) {
    json["rows"].push_back({{"policy", Name(row.policy.kind)},
                            {"sinks", row.policy.sinks},
                            {"window", row.policy.window},
                            {"perplexity", row.perplexity},
                            {"mean_nll", row.mean_nll},
                            {"scored_tokens", row.tokens}});
  }
  json["window_to_sink4"] = result.window_ratio;
  Json& recompute = json["against_recompute"];
  recompute = {{"tokens", result.sampled_tokens},
               {"perplexity", result.recomputed_perplexity},
               {"rows", Json::array()}};
  for (const SampleRow& row : result.samples) {
    recompute["rows"].push_back({{"policy", Name(row.policy.kind)},
                                 {"sinks", row.policy.sinks},
                                 {"window", row.policy.window},
                                 {"perplexity", row.perplexity},
                                 {"mean_nll_gap", row.nll_gap},
                                 {"mean_kl", row.divergence}});
  }
  return json;
}

}  // namespace sinkstream::eval
