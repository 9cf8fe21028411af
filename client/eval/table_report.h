// What a table says: its rows, and how far its policies lie apart. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "client/eval/evaluation.h"
#include "client/eval/policy.h"
#include "client/eval/subject.h"

namespace sinkstream::eval {

struct TableRow {
  Policy policy;
  double perplexity = 0;  // after the warmup
  double mean_nll = 0;    // nats
  int64_t tokens = 0;     // of that
};

// A policy beside the recomputed one, on the tokens that were recomputed.
struct SampleRow {
  Policy policy;
  double perplexity = 0;
  double nll_gap = 0;     // mean of its score less the recomputed one, nats
  double divergence = 0;  // mean Kullback-Leibler divergence from the recomputed one, nats
};

struct TableResult {
  std::vector<TableRow> rows;
  std::vector<SampleRow> samples;
  int64_t sampled_tokens = 0;
  double recomputed_perplexity = 0;  // of those
  double window_ratio = 0;           // perplexity of the window by that of 4 sinks
};

// The places of a table's policies in its evaluation's plan.
struct TablePlaces {
  size_t window = 0;
  size_t sink4 = 0;
  size_t recompute = 0;
};

// The policies of a table of caches of `cache` tokens, for a text of `tokens`, and their places.
std::vector<Policy> TablePolicies(int64_t cache, int64_t tokens, int64_t trained_context,
                                  TablePlaces* places);

TableResult Conclude(const Evaluation& evaluation, const TablePlaces& places, int64_t warmup);

std::string ToMarkdown(const TableResult& result);
Json ToJson(const TableResult& result);

}  // namespace sinkstream::eval
