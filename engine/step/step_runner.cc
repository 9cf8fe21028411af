#include "engine/step/step_runner.h"

#include <algorithm>
#include <utility>

#include "engine/session/scoring.h"

namespace sinkstream {
namespace {

// So many of a session's distributions fill an outbox: a step makes no more of them.
int64_t MostDistributions(const ModelSpec& spec) {
  return std::max<int64_t>(1, static_cast<int64_t>(Outbox::kManyBytes) / DistributionBytes(spec));
}

// Takes the first `rows` off `from`.
StepLogits TakeRows(StepLogits& from, size_t rows, size_t vocab_size) {
  StepLogits taken = {from.logits.first(rows * vocab_size), {}};
  from.logits.remove_prefix(taken.logits.size());
  if (!from.peaks.empty()) {
    taken.peaks = from.peaks.first(rows);
    from.peaks.remove_prefix(rows);
  }
  return taken;
}

}  // namespace

StepRunner::StepRunner(const EngineOptions& options, Parts parts, std::function<void()> on_room)
    : options_(options),
      parts_(parts),
      guesser_(options.limits.speculative_tokens, parts.format),
      sampler_(parts.model, parts.format, parts.clock),
      distributions_(options.limits.distribution_bytes, DistributionBytes(parts.model.Spec()),
                     std::move(on_room)) {}

std::optional<StepCandidate> StepRunner::CandidateOf(Session& session, size_t index) {
  if (session.requests.empty()) return std::nullopt;
  const Sequence& sequence = session.requests.front();
  const bool paused = !session.CanGoOn();
  if (paused && !session.paused) parts_.observer.OnPaused();
  session.paused = paused;
  if (paused || !SettlePrefix(session)) return std::nullopt;
  StepCandidate candidate{.index = static_cast<int32_t>(index),
                          .decodes = sequence.decodes(),
                          .prompt_left = sequence.prompt_left(),
                          .planned_at = session.planned_at};
  const auto rows = sequence.RowsBeforeScored();
  if (!rows) return candidate;
  candidate.rows_before_scored = *rows;
  const auto& scoring = sequence.request().scoring;
  if (scoring && scoring->distributions) {
    candidate.prompt_left =
        std::min(candidate.prompt_left, *rows + MostDistributions(parts_.model.Spec()));
    candidate.tells_distributions = true;
    session.paused = *rows == 0 && distributions_.RowsLeft() == 0;
    if (session.paused) return std::nullopt;
  }
  return candidate;
}

bool StepRunner::SettlePrefix(Session& session) {
  const auto& prefix = session.prefix.second;
  const bool begins = session.window.position() == 0 && !prefix.empty();
  Sequence& sequence = session.requests.front();
  // One that reads nothing else is of no use behind it.
  if (!begins || sequence.prompt_tokens() <= static_cast<int64_t>(prefix.size())) return true;
  const int64_t joined = parts_.pool.JoinReadPrefix(session);
  if (joined == 0) return !parts_.pool.PrefixIsBeingRead(session);
  session.recent.Append(prefix);
  sequence.SkipCached(joined, session.window);
  parts_.observer.OnPrefixJoined(joined);
  return true;
}

void StepRunner::ListCandidates() {
  const auto& sessions = parts_.pool.All();
  candidates_.clear();
  for (size_t i = 0; i < sessions.size(); ++i) {
    if (const auto candidate = CandidateOf(*sessions[i], i)) candidates_.push_back(*candidate);
  }
}

void StepRunner::PlanRows() {
  const auto& limits = options_.limits;
  PlanStep(absl::MakeSpan(candidates_),
           {.step_tokens = limits.step_tokens,
            .prefill_chunk = limits.prefill_chunk,
            .max_prefills = limits.max_prefills_per_step,
            .score_rows = limits.score_rows,
            .distributions = distributions_.RowsLeft()},
           plan_);
}

void StepRunner::BuildBatch() {
  sessions_.clear();
  batch_.sequences.clear();
  for (const auto& planned : plan_) {
    Session& session = *parts_.pool.All()[planned.index];
    sessions_.push_back(&session);
    session.planned_at = ++planned_;
    session.window.Reserve(planned.rows, parts_.pool.blocks());
    Sequence& sequence = session.requests.front();
    sequence.Planned(parts_.clock.Now());
    StepSequence step;
    step.start = session.window.position();
    step.tokens = sequence.NextTokens(planned.rows);
    step.sinks = session.window.sinks();
    step.window = session.window.window();
    step.pinned_blocks = session.window.pinned_blocks();
    step.recent_blocks = session.window.recent_blocks();
    step.first_recent_block = session.window.first_recent_block();
    step.rotary_offset = options_.position_offset;
    step.logit_rows = sequence.LogitRows(planned.rows);
    step.peaks_alone = sequence.TakesPeaksAlone();
    batch_.sequences.push_back(step);
  }
}

absl::Span<Session* const> StepRunner::Run() {
  const auto begun = parts_.clock.Now();
  ListCandidates();
  guesser_.Run(absl::MakeSpan(candidates_), parts_.pool.All());
  PlanRows();
  if (plan_.empty()) return {};
  BuildBatch();
  const auto looked_at = probe_.Choose(batch_);
  const auto planned = parts_.clock.Now();
  const auto given = parts_.model.Step(batch_);
  const auto computed = parts_.clock.Now();

  StepStats stats;
  stats.sequences = static_cast<int32_t>(plan_.size());
  stats.failed = !given.ok();
  if (given.ok()) {
    stats.pinned_attention = parts_.model.PinnedAttention();
    ApplyLogits(*given, looked_at, stats);
  } else {
    for (Session* const session : sessions_) FailUnread(*session, given.status());
  }
  stats.plan = planned - begun;
  stats.model = computed - planned;
  stats.emit = parts_.clock.Now() - computed - stats.sample;
  parts_.observer.OnStep(stats);
  return sessions_;
}

void StepRunner::ApplyLogits(const StepLogits& given, std::optional<int32_t> looked_at,
                             StepStats& stats) {
  const auto begun = parts_.clock.Now();
  sampler_.Run(ListShares(given));
  stats.sample += parts_.clock.Now() - begun;
  if (looked_at) Look(shares_[*looked_at], stats);  // before its deltas are moved out
  for (const Share& share : shares_) {
    if (share.reply != nullptr) {
      ApplyReply(*share.reply, stats);
    } else {
      ReadRows(share, stats);
    }
  }
}

absl::Span<ReplyStep> StepRunner::ListShares(StepLogits given) {
  const size_t vocab_size = parts_.model.Spec().vocab_size;
  shares_.clear();
  // Never fewer: they keep the memory of their deltas. No more below: shares point to them.
  if (replies_.size() < plan_.size()) replies_.resize(plan_.size());
  size_t replies = 0;
  for (size_t i = 0; i < plan_.size(); ++i) {
    const int32_t rows = batch_.sequences[i].logit_rows;
    const StepLogits own = TakeRows(given, static_cast<size_t>(rows), vocab_size);
    Share& share = shares_.emplace_back(Share{sessions_[i], plan_[i].rows, own});
    const Sequence& sequence = share.session->requests.front();
    if (!sequence.request().replies || rows == 0) continue;
    ReplyStep& reply = replies_[replies++];
    reply.session = share.session;
    reply.rows = share.rows;
    reply.guesses = rows - 1;
    reply.ends_prefill = !sequence.decodes();
    reply.given = own;
    share.reply = &reply;
  }
  return absl::MakeSpan(replies_).first(replies);
}

// How likely the model found what is sampled of its first row.
void StepRunner::Look(const Share& share, StepStats& stats) const {
  if (share.reply == nullptr || share.reply->deltas.empty()) return;
  const auto row = share.given.logits.first(parts_.model.Spec().vocab_size);
  const TokenId sampled = share.reply->deltas.front().tokens.front();
  stats.negative_log_likelihood = NegativeLogLikelihood(row, sampled);
}

// The window moves on token by token, as it would without guesses.
void StepRunner::ApplyReply(ReplyStep& reply, StepStats& stats) {
  Session& session = *reply.session;
  (reply.ends_prefill ? stats.prefill_rows : stats.decode_rows) += reply.rows;
  stats.guessed_tokens += reply.guesses;
  stats.accepted_guesses += reply.accepted;
  stats.sampled_tokens += static_cast<int32_t>(reply.deltas.size());
  stats.nonfinite_rows += reply.status.ok() ? 0 : 1;
  for (int32_t i = 0; i <= reply.accepted; ++i) {
    const int32_t rows = i == 0 ? reply.rows - reply.guesses : 1;
    AdvanceWindow(session, rows, stats);
    if (reply.ends_prefill) AfterRows(session, rows);
    if (i == static_cast<int32_t>(reply.deltas.size())) break;  // the last one failed
    PushDelta(reply, i);
  }
  if (!reply.ends_prefill) {
    session.guesses = AfterStep(session.guesses, reply.guesses, reply.accepted);
  }
  session.window.CancelReservation(parts_.pool.blocks());
  if (!reply.status.ok()) {
    parts_.queue.Fail(session, reply.status);
  } else if (reply.reason) {
    parts_.queue.FinishTurn(session, *reply.reason);
  }
}

// The tokens of a step leave together.
void StepRunner::PushDelta(ReplyStep& reply, int32_t index) {
  Outbox* const outbox = reply.session->outbox.get();
  if (outbox == nullptr) return;
  const bool last = index + 1 == static_cast<int32_t>(reply.deltas.size());
  Delta& delta = reply.deltas[index];
  last ? outbox->Push(std::move(delta)) : outbox->PushAhead(std::move(delta));
}

// Rows without a reply: of a prompt that goes on, or of an append.
void StepRunner::ReadRows(const Share& share, StepStats& stats) {
  Session& session = *share.session;
  Sequence& sequence = session.requests.front();
  stats.prefill_rows += share.rows;
  const auto begun = parts_.clock.Now();
  const auto told = TellScores(share, stats);
  stats.sample += parts_.clock.Now() - begun;
  if (!told.ok()) return FailUnread(session, told);
  session.recent.Append(sequence.NextTokens(share.rows));
  sequence.Fed(share.rows, parts_.clock.Now());
  AdvanceWindow(session, share.rows, stats);
  AfterRows(session, share.rows);
}

void StepRunner::AdvanceWindow(Session& session, int32_t rows, StepStats& stats) {
  const int64_t evicted_before = session.window.evicted();
  const size_t blocks_before = session.window.recent_blocks().size();
  session.window.Advance(rows, parts_.pool.blocks());
  stats.freed_blocks += blocks_before - session.window.recent_blocks().size();
  parts_.pool.ShareReadPrefix(session);
  const int64_t evicted = session.window.evicted() - evicted_before;
  if (evicted_before == 0 && evicted > 0) RequestQueue::TellWindow(session);
  stats.evicted_tokens += evicted;
  const int64_t block_tokens = parts_.model.Spec().block_tokens;
  stats.evicted_blocks += session.window.evicted() / block_tokens - evicted_before / block_tokens;
}

// After prompt rows: tells how far it is, or that an append is done.
void StepRunner::AfterRows(Session& session, int32_t rows) {
  const Sequence& sequence = session.requests.front();
  const bool one_chunk = rows == sequence.prompt_tokens();
  if (!one_chunk && session.outbox && session.outbox->HasRoom()) {
    session.outbox->Push(
        PrefillProgress{sequence.request().id, sequence.prompt_fed(), sequence.prompt_tokens()});
  }
  if (!sequence.request().replies && sequence.prompt_left() == 0) {
    parts_.queue.FinishAppend(session);
  }
}

// Before the window moves on.
absl::Status StepRunner::TellScores(const Share& share, StepStats& stats) {
  const Session& session = *share.session;
  const Sequence& sequence = session.requests.front();
  const auto tokens = sequence.ScoredTokens(share.rows);
  const auto& scoring = sequence.request().scoring;
  if (tokens.empty() || !scoring) return absl::OkStatus();
  const auto count = static_cast<int64_t>(tokens.size());
  const int64_t position = session.window.position() + share.rows - count + 1;
  auto scores = ScoreTokens(share.given, tokens, position, *scoring);
  if (!scores.ok()) {
    ++stats.nonfinite_rows;
    return scores.status();
  }
  stats.scored_tokens += static_cast<int32_t>(count);
  for (Scores& event : *scores) {
    event.request_id = sequence.request().id;
    const auto distributions = static_cast<int64_t>(event.distributions.size());
    if (distributions > 0) event.room = distributions_.Take(distributions);
    if (session.outbox) session.outbox->Push(std::move(event));
  }
  return absl::OkStatus();
}

// The session has not read the rows that were planned of it.
void StepRunner::FailUnread(Session& session, const absl::Status& status) {
  session.window.CancelReservation(parts_.pool.blocks());
  parts_.queue.Fail(session, status);
}

}  // namespace sinkstream
