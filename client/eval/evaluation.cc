#include "client/eval/evaluation.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "client/eval/statistics.h"

namespace sinkstream::eval {
namespace {

// All streams meet after so many tokens or samples: what they hold meanwhile is bounded.
constexpr int64_t kStageTokens = ScoredSession::kMostTokens;
constexpr int64_t kStageSamples = ScoredSession::kMostDistributions;

std::span<const int64_t> Within(std::span<const int64_t> samples, int64_t begin, int64_t end) {
  const auto first = std::lower_bound(samples.begin(), samples.end(), begin);
  return {first, std::lower_bound(first, samples.end(), end)};
}

}  // namespace

// All policies read [begin, end), and recompute those of `samples`.
struct Evaluation::Stage {
  int64_t begin;
  int64_t end;
  std::span<const int64_t> samples;
};

std::vector<StreamRequest> PlanRequests(int64_t begin, int64_t end,
                                        std::span<const int64_t> samples) {
  const std::span<const int64_t> within = Within(samples, begin, end);
  std::vector<StreamRequest> requests;
  auto sample = within.begin();
  while (begin < end) {
    const bool distributions = sample != within.end() && *sample == begin;
    int64_t stop = begin;
    if (distributions) {
      const int64_t most = std::min(end, begin + ScoredSession::kMostDistributions);
      for (; stop < most && sample != within.end() && *sample == stop; ++sample) ++stop;
    } else {
      stop = std::min(sample != within.end() ? *sample : end, begin + ScoredSession::kMostTokens);
    }
    // Nothing stands before the first token.
    requests.push_back({begin, stop, begin == 0 ? 1 : 0, distributions});
    begin = stop;
  }
  return requests;
}

v1::Open SessionOf(const Policy& policy) {
  v1::Open open;
  open.set_sinks(static_cast<int32_t>(policy.sinks));
  open.set_window(policy.window);
  open.mutable_idle_timeout();
  return open;
}

absl::StatusOr<TokenScore> ScoreAfresh(ScoreClient& client, std::span<const int32_t> ids,
                                       int64_t token, int64_t cache, bool distribution) {
  const int64_t first = std::max<int64_t>(0, token - cache);
  return client.ScoreLast(
      ids.subspan(static_cast<size_t>(first), static_cast<size_t>(token + 1 - first)),
      distribution);
}

Evaluation::Evaluation(ScoreClient& client, EvaluationPlan plan)
    : client_(client),
      plan_(std::move(plan)),
      sessions_(plan_.policies.size()),
      nll_(plan_.policies.size(),
           std::vector<double>(plan_.ids.size(), std::numeric_limits<double>::quiet_NaN())),
      sampled_(plan_.policies.size()),
      divergences_(plan_.compared.size()) {
  for (size_t policy = 0; policy < plan_.policies.size(); ++policy) {
    if (plan_.policies[policy].recomputes()) {
      recomputing_ = policy;
    } else {
      streams_.push_back(policy);
    }
  }
}

Evaluation::~Evaluation() = default;

int64_t Evaluation::begin() const {
  return streams_.empty() && !plan_.samples.empty() ? plan_.samples.front() : 0;
}

absl::Status Evaluation::Run(const std::function<void(int64_t)>& on_advance) {
  const int64_t tokens = std::ssize(plan_.ids);
  for (int64_t begin = this->begin(); begin < tokens;) {
    int64_t end = std::min(tokens, begin + kStageTokens);
    std::span<const int64_t> samples = Within(plan_.samples, begin, end);
    if (std::ssize(samples) > kStageSamples) {
      end = samples[kStageSamples];
      samples = samples.first(kStageSamples);
    }
    const absl::Status status = RunStage({begin, end, samples});
    if (!status.ok()) {
      Forget(begin);
      return status;
    }
    begin = end;
    on_advance(end);
  }
  for (const auto& session : sessions_) {
    if (session) session->Close();
  }
  return absl::OkStatus();
}

absl::Status Evaluation::RunStage(const Stage& stage) {
  const size_t streams = streams_.size();
  const size_t recomputing = recomputing_.value_or(0);  // used where there are samples
  std::vector<TokenScore> recomputed(recomputing_ ? stage.samples.size() : 0);
  const absl::Status status = RunAll(streams + recomputed.size(), plan_.parallel, [&](size_t task) {
    if (task < streams) return AdvanceStream(streams_[task], stage);
    const size_t sample = task - streams;
    return Recompute(recomputing, stage.samples[sample], recomputed[sample]);
  });
  if (status.ok()) Compare(stage, recomputed);
  return status;
}

absl::Status Evaluation::AdvanceStream(size_t policy, const Stage& stage) {
  const Policy& settings = plan_.policies[policy];
  auto& session = sessions_[policy];
  if (!session) {
    auto opened = ScoredSession::Open(client_, SessionOf(settings));
    if (!opened.ok()) return opened.status();
    session = std::move(*opened);
  }
  sampled_[policy].clear();
  // A dense stream ends where its window does.
  const int64_t end =
      settings.kind == PolicyKind::kDense ? std::min(stage.end, settings.window) : stage.end;
  const auto samples = IsCompared(policy) ? stage.samples : std::span<const int64_t>();
  const std::span<const int32_t> ids = plan_.ids;
  for (const StreamRequest& request : PlanRequests(stage.begin, end, samples)) {
    auto scores = session->Append(ids.subspan(static_cast<size_t>(request.begin),
                                              static_cast<size_t>(request.end - request.begin)),
                                  request.skip, request.distributions);
    if (!scores.ok()) return scores.status();
    size_t token = static_cast<size_t>(request.begin + request.skip);
    for (TokenScore& score : *scores) {
      nll_[policy][token++] = score.nll;
      if (request.distributions) sampled_[policy].push_back(std::move(score.distribution));
    }
  }
  return absl::OkStatus();
}

absl::Status Evaluation::Recompute(size_t policy, int64_t token, TokenScore& score) {
  auto scored = ScoreAfresh(client_, plan_.ids, token, plan_.policies[policy].cache(),
                            !plan_.compared.empty());
  if (!scored.ok()) return scored.status();
  score = std::move(*scored);
  nll_[policy][static_cast<size_t>(token)] = score.nll;
  return absl::OkStatus();
}

void Evaluation::Forget(int64_t begin) {
  for (std::vector<double>& nll : nll_) {
    std::fill(nll.begin() + begin, nll.end(), std::numeric_limits<double>::quiet_NaN());
  }
}

void Evaluation::Compare(const Stage& stage, std::span<const TokenScore> recomputed) {
  for (size_t c = 0; c < plan_.compared.size(); ++c) {
    for (size_t i = 0; i < stage.samples.size(); ++i) {
      divergences_[c].push_back(
          KlDivergence(recomputed[i].distribution, sampled_[plan_.compared[c]][i]));
    }
  }
}

bool Evaluation::IsCompared(size_t policy) const {
  return std::find(plan_.compared.begin(), plan_.compared.end(), policy) != plan_.compared.end();
}

}  // namespace sinkstream::eval
