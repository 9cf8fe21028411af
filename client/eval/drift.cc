#include "client/eval/drift.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "client/eval/console.h"
#include "client/eval/drift_session.h"
#include "client/eval/drift_state.h"
#include "client/eval/evaluation.h"
#include "client/eval/policy.h"
#include "client/tool/standard_output.h"

namespace sinkstream::eval {
namespace {

class Drift {
 public:
  Drift(const DriftOptions& options, ScoreClient& client, std::vector<int32_t> ids,
        DriftState state)
      : options_(options), client_(client), ids_(std::move(ids)), state_(std::move(state)) {}

  absl::Status Run() {
    if (state_.position > 0) Note(absl::StrCat("going on at token ", state_.position));
    Progress progress = Progress::OnStandardError(state_.run.tokens, state_.position);
    for (size_t i = 0; i < state_.stretches.size(); ++i) {
      absl::Status status = Read(state_.stretches[i], i, progress);
      if (status.ok()) status = Recompute(state_.stretches[i], i, progress);
      if (status.ok()) status = AskLoad(state_.stretches[i]);
      if (!status.ok()) return status;
    }
    if (session_) session_->Close();
    return absl::OkStatus();
  }

  const DriftState& state() const { return state_; }
  // What the state file tells of; tokens.
  int64_t kept() const { return kept_; }

 private:
  absl::Status Read(Stretch& stretch, size_t number, Progress& progress) {
    while (state_.position < stretch.end) {
      if (!session_) {
        const absl::Status status = Attach();
        if (!status.ok()) return status;
      }
      const absl::Status status = ReadPiece(stretch);
      if (!status.ok()) return status;
      progress.Show(state_.position, absl::StrFormat("stretch %d: perplexity %.2f", number + 1,
                                                     stretch.perplexity()));
    }
    return absl::OkStatus();
  }

  absl::Status ReadPiece(Stretch& stretch) {
    const int64_t begin = state_.position;
    const int64_t end = std::min(stretch.end, begin + ScoredSession::kMostTokens);
    const absl::Time start = absl::Now();
    const auto scores = session_->Score(end);
    if (!scores.ok()) return scores.status();
    stretch.seconds += absl::ToDoubleSeconds(absl::Now() - start);
    stretch.timed_tokens += end - begin;
    const std::vector<int64_t> samples = SamplesOf(stretch, state_.run.recompute_tokens);
    int64_t token = end - std::ssize(*scores);
    for (const TokenScore& score : *scores) {
      stretch.sum.Add(score.nll);
      const bool sampled = std::binary_search(samples.begin(), samples.end(), token++);
      if (sampled) stretch.sampled.push_back(score.nll);
    }
    state_.position = end;
    return Save();
  }

  // The session that the state tells of, or one that has read as much.
  absl::Status Attach() {
    if (!state_.session_id.empty()) {
      auto found = DriftSession::Find(client_, ids_, state_.position, state_.session_id);
      if (!found.ok()) return found.status();
      session_ = *std::move(found);
      if (session_) return absl::OkStatus();
      Note(absl::StrCat("the session is gone: reading ", state_.position,
                        " tokens again, unscored"));
    }
    auto opened = DriftSession::Open(client_, ids_, state_.run.sinks, state_.run.window);
    if (!opened.ok()) return opened.status();
    session_ = *std::move(opened);
    // At once, so that whatever ends this run, the next one finds the session.
    state_.session_id = session_->id();
    const absl::Status status = Save();
    return status.ok() && state_.position > 0 ? ReadAgain() : status;
  }

  absl::Status ReadAgain() {
    Progress progress = Progress::OnStandardError(state_.position);
    while (session_->position() < state_.position) {
      const absl::Status status = session_->Skip(
          std::min(state_.position, session_->position() + ScoredSession::kMostTokens));
      if (!status.ok()) return status;
      progress.Show(session_->position(), "read again");
    }
    return absl::OkStatus();
  }

  absl::Status Recompute(Stretch& stretch, size_t number, Progress& progress) {
    const std::vector<int64_t> samples = SamplesOf(stretch, state_.run.recompute_tokens);
    const int64_t cache = state_.run.sinks + state_.run.window;
    while (stretch.recomputed.size() < samples.size()) {
      const size_t begin = stretch.recomputed.size();
      const size_t count =
          std::min(samples.size() - begin, static_cast<size_t>(4 * options_.subject.parallel));
      std::vector<double> nll(count);
      absl::Status status = RunAll(count, options_.subject.parallel, [&](size_t i) {
        const auto score =
            ScoreAfresh(client_, ids_, samples[begin + i], cache, /*distribution=*/false);
        if (score.ok()) nll[i] = score->nll;
        return score.status();
      });
      if (!status.ok()) return status;
      stretch.recomputed.insert(stretch.recomputed.end(), nll.begin(), nll.end());
      progress.Show(state_.position, absl::StrFormat("stretch %d: recomputed %d of %d", number + 1,
                                                     stretch.recomputed.size(), samples.size()));
      status = Save();
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

  absl::Status AskLoad(Stretch& stretch) {
    if (stretch.resident_bytes > 0) return absl::OkStatus();
    const auto load = client_.GetLoad();
    if (!load.ok()) return load.status();
    stretch.resident_bytes = load->resident_bytes();
    return Save();
  }

  absl::Status Save() {
    const absl::Status status = SaveDrift(options_.state, state_);
    if (status.ok()) kept_ = state_.position;
    return status;
  }

  const DriftOptions& options_;
  ScoreClient& client_;
  const std::vector<int32_t> ids_;
  DriftState state_;
  int64_t kept_ = state_.position;
  std::unique_ptr<DriftSession> session_;  // reads ids_; it stays for a run that goes on
};

double MillisecondsAToken(const Stretch& stretch) {
  return 1000 * stretch.seconds / static_cast<double>(stretch.timed_tokens);
}

std::string Ratio(double ratio) { return std::isnan(ratio) ? "-" : absl::StrFormat("%.4f", ratio); }

std::string ToMarkdown(const DriftState& state) {
  std::string text =
      "| tokens | perplexity | ratio to recompute | by the first's | ms a token | resident MiB |\n"
      "|---|---|---|---|---|---|\n";
  for (const Stretch& stretch : state.stretches) {
    if (stretch.sum.tokens == 0) continue;  // after an error
    const double ratio = stretch.recompute_ratio();
    absl::StrAppendFormat(&text, "| %d to %d | %.3f | %s | %s | %.3f | %d |\n", stretch.begin,
                          stretch.end - 1, stretch.perplexity(), Ratio(ratio),
                          Ratio(ratio / state.stretches.front().recompute_ratio()),
                          MillisecondsAToken(stretch), stretch.resident_bytes >> 20);
  }
  return text;
}

Json Report(const DriftOptions& options, const v1::GetModelResponse& model, const DriftState& state,
            const absl::Status& status) {
  Json report = {{"tokens", state.run.tokens}, {"sinks", state.run.sinks},
                 {"window", state.run.window}, {"position", state.position},
                 {"complete", status.ok()},    {"stretches", Json::array()}};
  if (!status.ok()) report["error"] = std::string(status.message());
  report.update(DescribeSubject(options.subject, model));
  for (const Stretch& stretch : state.stretches) {
    report["stretches"].push_back({{"begin", stretch.begin},
                                   {"end", stretch.end},
                                   {"perplexity", stretch.perplexity()},
                                   {"scored_tokens", stretch.sum.tokens},
                                   {"recomputed_tokens", stretch.recomputed.size()},
                                   {"recompute_ratio", stretch.recompute_ratio()},
                                   {"milliseconds_per_token", MillisecondsAToken(stretch)},
                                   {"resident_bytes", stretch.resident_bytes}});
  }
  return report;
}

absl::StatusOr<DriftRun> MakeRun(const DriftOptions& options, std::span<const int32_t> ids,
                                 const v1::GetModelResponse& model) {
  const CacheFlags cache = WithDefaults(options.cache, model);
  const absl::Status status =
      CheckPolicy({PolicyKind::kSink, cache.sinks, cache.window}, model.trained_context());
  if (!status.ok()) return status;
  return DriftRun{.text = Digest(ids),
                  .model = model.name(),
                  .weight_dtype = model.weight_dtype(),
                  .kv_dtype = model.kv_dtype(),
                  .tokens = std::ssize(ids),
                  .stretches = options.stretches,
                  .sinks = cache.sinks,
                  .window = cache.window,
                  .recompute_tokens = options.recompute_tokens};
}

}  // namespace

std::vector<Flag> DriftFlags(DriftOptions* options) {
  std::vector<Flag> flags = SubjectFlags(&options->subject);
  const auto add = [&flags](Flag flag) { flags.push_back(std::move(flag)); };
  for (Flag& flag : WindowFlags(&options->cache)) add(std::move(flag));
  add(IntegerFlag("stretches", "COUNT", "equal parts of the stream (default: 10)",
                  &options->stretches, 1, 1000));
  add(IntegerFlag("recompute-tokens", "M",
                  "of each stretch recompute so many tokens, sampled evenly; 0: none (default: 50)",
                  &options->recompute_tokens, 0));
  add(TextFlag("state", "FILE",
               "what is measured is kept there, and the same command goes on from it\n"
               "      (default: sinkstream-drift.state.json)",
               &options->state));
  add(TextFlag("json", "FILE", "write a report there", &options->json));
  return flags;
}

absl::Status RunDrift(const DriftOptions& options, ScoreClient& client) {
  const absl::Status writable = CheckWritable({options.state, options.json});
  if (!writable.ok()) return writable;
  auto ids = ReadIds(options.subject, {"--stretches", options.stretches}, client);
  if (!ids.ok()) return ids.status();
  const auto run = MakeRun(options, *ids, client.model());
  if (!run.ok()) return run.status();
  auto state = LoadDrift(options.state, *run);
  if (!state.ok()) return state.status();

  Drift drift(options, client, std::move(*ids), std::move(*state));
  const absl::Status measured = drift.Run();
  PrintText(IncompleteMark(measured) + ToMarkdown(drift.state()));
  const absl::Status kept =
      KeepReport(options.json, Report(options, client.model(), drift.state(), measured));
  if (measured.ok()) return kept;
  return absl::Status(measured.code(),
                      absl::StrCat(measured.message(), "; the same command goes on from token ",
                                   drift.kept(), " (", options.state, ")"));
}

}  // namespace sinkstream::eval
