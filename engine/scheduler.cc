#include "engine/scheduler.h"

#include <algorithm>
#include <utility>

#include "engine/errors.h"
#include "engine/sampling/sampling_rules.h"
#include "engine/session/pool_stats.h"
#include "engine/session/scoring.h"

namespace sinkstream {
namespace {

SessionPool::Options PoolOptions(const EngineLimits& limits, const ModelSpec& spec) {
  return {limits.max_sessions,
          StepSlackBlocks(limits.step_tokens, limits.max_prefills_per_step, spec.block_tokens)};
}

// So many of a session's distributions fill an outbox: a step makes no more of them.
int64_t MostDistributions(const ModelSpec& spec) {
  return std::max<int64_t>(1, static_cast<int64_t>(Outbox::kManyBytes) / DistributionBytes(spec));
}

}  // namespace

Scheduler::Scheduler(const EngineOptions& options, Parts parts)
    : options_(options),
      parts_(std::move(parts)),
      pool_(parts_.model.Spec(), PoolOptions(options.limits, parts_.model.Spec())),
      parking_(pool_, parts_.park, parts_.observer, parts_.clock),
      admission_(options_, parts_.model.Spec(), pool_, parking_, parts_.observer, parts_.clock,
                 parts_.random),
      queue_({options.limits.max_queued_requests, options.limits.max_request_tokens},
             parts_.tokenizer, parts_.format, parts_.observer, parts_.clock),
      guesser_(options.limits.speculative_tokens, parts_.format),
      sampler_(parts_.model, parts_.format, parts_.clock),
      distributions_(options.limits.distribution_bytes, DistributionBytes(parts_.model.Spec()),
                     parts_.on_room) {}

void Scheduler::Handle(Command command) {
  Dispatch(command);
  AttachArrivals();
}

void Scheduler::Dispatch(Command& command) {
  const bool leaves = std::holds_alternative<DetachCommand>(command);
  if (!leaves && admission_.Defer(command)) return;
  std::visit([this](auto& chosen) { Handle(chosen); }, command);
}

// ---- sessions ----

void Scheduler::Handle(OpenCommand& command) {
  if (draining_) return admission_.Refuse(command, ShuttingDown());
  CloseExpired();
  admission_.Arrive(std::move(command));
}

void Scheduler::AttachArrivals() {
  while (auto arrival = admission_.Next()) {
    if (arrival->session.ok()) {
      Attach(**arrival->session, arrival->open);
      for (Command& command : arrival->then) Dispatch(command);
      continue;
    }
    admission_.Refuse(arrival->open, arrival->session.status());
    CarryOutLastWill(*arrival);
  }
}

void Scheduler::Attach(Session& session, OpenCommand& command) {
  if (session.outbox) {
    LeaveStream(session, absl::AbortedError("another stream has attached to this session"));
  }
  const bool resumed = !command.request.id.empty();
  pool_.Attach(session, command.attachment, std::move(command.outbox));
  session.trace = std::move(command.request.trace);
  if (!resumed) session.planned_at = planned_;
  const bool shares = !resumed && session.shares_prefix;
  parts_.observer.OnSessionStart({.id = session.id,
                                  .resumed = resumed,
                                  .has_prefix = !resumed && !session.prefix.second.empty(),
                                  .shared_tokens = shares ? session.window.position() : 0});
  session.outbox->Push(Opened{session.id, resumed, session.settings, session.window.position(),
                              session.window.evicted(),
                              session.reserved_blocks * parts_.model.Spec().block_bytes});
}

// Of a stream that gets no session, refused or gone while it waited: all that still counts is that
// it closed its session.
void Scheduler::CarryOutLastWill(const Admission::Arrival& arrival) {
  const bool closes = std::any_of(
      arrival.then.begin(), arrival.then.end(),
      [](const Command& command) { return std::holds_alternative<CloseCommand>(command); });
  Session* const session = pool_.Find(arrival.open.request.id, arrival.open.request.principal);
  if (!closes || session == nullptr || session->outbox || session->claims > 0) return;
  session->closes = true;
  CloseExpired();
}

void Scheduler::Handle(ParkCommand& command) {
  const SessionId wanted = admission_.Wanted();
  const auto settled = parking_.Settle(command.outcome, wanted);
  if (settled.lost.ok()) return;
  if (settled.session->id == wanted) {
    admission_.RefuseFirst(absl::DataLossError(
        "open.session_id: the session was parked on disk and could not be read back"));
  }
  CloseSession(*settled.session, CloseReason::kLost);
}

// The stream goes, the session stays for its idle timeout.
void Scheduler::LeaveStream(Session& session, const absl::Status& status) {
  const auto outbox = session.outbox;
  pool_.Detach(session, parts_.clock.Now());
  queue_.CancelAll(session);
  if (outbox) outbox->Close(status);
}

void Scheduler::CloseSession(Session& session, CloseReason reason) {
  parking_.Forget(session);
  parts_.observer.OnSessionEnd({.id = session.id,
                                .reason = reason,
                                .lifetime = parts_.clock.Now() - session.opened,
                                .tokens = session.window.position()});
  pool_.Close(session);
}

void Scheduler::CloseExpired() {
  for (Session* const session : pool_.Expired(parts_.clock.Now())) {
    const bool with_stream = session->settings.idle_timeout == absl::ZeroDuration();
    const auto reason = with_stream ? CloseReason::kStreamEnd : CloseReason::kIdle;
    CloseSession(*session, session->closes ? CloseReason::kClient : reason);
  }
}

void Scheduler::Shutdown(const absl::Status& status) {
  admission_.RefuseAll(status);
  while (!pool_.All().empty()) {
    Session* const session = pool_.All().front();
    LeaveStream(*session, status);
    CloseSession(*session, CloseReason::kShutdown);
  }
}

// ---- requests ----

void Scheduler::Handle(RequestCommand& command) {
  Session* const session = pool_.Attached(command.attachment);
  if (session == nullptr) return;
  if (draining_) return queue_.Reject(*session, command.request_id, ShuttingDown());
  Sequence::Request request;
  request.id = command.request_id;
  request.replies = command.replies;
  request.input = std::move(command.input);
  request.accepted = command.arrived.value_or(parts_.clock.Now());
  if (command.replies) {
    request.sampling = ApplyOverrides(session->settings.sampling, command.sampling);
    const auto valid = ValidateSampling(request.sampling, parts_.model.Spec().vocab_size,
                                        options_.limits.max_tokens, "turn.sampling.");
    if (!valid.ok()) {
      return queue_.Reject(*session, request.id, valid);
    }
    request.seed = request.sampling.seed ? *request.sampling.seed : parts_.random();
  } else if (command.scoring) {
    const auto valid = ValidateScoring(*command.scoring, "append.scoring.");
    if (!valid.ok()) return queue_.Reject(*session, request.id, valid);
    request.scoring = command.scoring;
  }
  queue_.Submit(*session, std::move(request));
}

void Scheduler::Handle(CancelCommand& command) {
  Session* const session = pool_.Attached(command.attachment);
  if (session == nullptr) return;
  queue_.CancelAll(*session);
  EndStreamIfDone(*session);
}

void Scheduler::Handle(CloseCommand& command) {
  Session* const session = pool_.Attached(command.attachment);
  if (session == nullptr) return;
  LeaveStream(*session, absl::OkStatus());
  CloseSession(*session, CloseReason::kClient);
}

void Scheduler::Handle(HalfCloseCommand& command) {
  Session* const session = pool_.Attached(command.attachment);
  if (session == nullptr) return;
  session->half_closed = true;
  EndStreamIfDone(*session);
}

void Scheduler::Handle(DetachCommand& command) {
  if (const auto left = admission_.Leave(command.attachment)) return CarryOutLastWill(*left);
  Session* const session = pool_.Attached(command.attachment);
  if (session == nullptr) return;
  LeaveStream(*session, absl::CancelledError("the stream is gone"));
  CloseExpired();
}

void Scheduler::Handle(DrainCommand& command) {
  draining_ = true;
  admission_.RefuseAll(ShuttingDown());
  for (Session* const session : pool_.All()) {
    if (session->outbox) session->outbox->Push(GoAway{command.time_left});
  }
  ReportPool();
  parts_.observer.OnDraining();
}

void Scheduler::EndStreamIfDone(Session& session) {
  if (!session.half_closed || !session.requests.empty()) return;
  LeaveStream(session, absl::OkStatus());
  CloseExpired();
}

// ---- steps ----

std::optional<StepCandidate> Scheduler::CandidateOf(Session& session, size_t index) {
  if (session.requests.empty()) return std::nullopt;
  const Sequence& sequence = session.requests.front();
  const bool paused = session.outbox && !session.outbox->HasRoom();
  if (paused && !session.paused) parts_.observer.OnPaused();
  session.paused = paused;
  if (paused) return std::nullopt;
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

void Scheduler::ListCandidates() {
  sessions_ = pool_.All();
  candidates_.clear();
  for (size_t i = 0; i < sessions_.size(); ++i) {
    if (const auto candidate = CandidateOf(*sessions_[i], i)) candidates_.push_back(*candidate);
  }
}

void Scheduler::PlanRows() {
  const auto& limits = options_.limits;
  PlanStep(absl::MakeSpan(candidates_),
           {.step_tokens = limits.step_tokens,
            .prefill_chunk = limits.prefill_chunk,
            .max_prefills = limits.max_prefills_per_step,
            .score_rows = limits.score_rows,
            .distributions = distributions_.RowsLeft()},
           plan_);
}

void Scheduler::BuildBatch() {
  batch_.sequences.clear();
  for (const auto& planned : plan_) {
    Session& session = *sessions_[planned.index];
    session.planned_at = ++planned_;
    session.window.Reserve(planned.rows, pool_.blocks());
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
    batch_.sequences.push_back(step);
  }
}

bool Scheduler::RunStep() {
  AttachArrivals();
  const auto begun = parts_.clock.Now();
  ListCandidates();
  guesser_.Run(absl::MakeSpan(candidates_), sessions_);
  PlanRows();
  if (plan_.empty()) return false;
  BuildBatch();
  const auto looked_at = probe_.Choose(batch_);
  batch_.probed_sequence = -1;
  if (looked_at && SeesBeyondPinned(batch_.sequences[*looked_at])) {
    batch_.probed_sequence = *looked_at;
  }
  const auto planned = parts_.clock.Now();
  const auto logits = parts_.model.Step(batch_);
  const auto computed = parts_.clock.Now();

  StepStats stats;
  stats.sequences = static_cast<int32_t>(plan_.size());
  stats.failed = !logits.ok();
  if (logits.ok()) {
    stats.pinned_attention = parts_.model.PinnedAttention();
    ApplyLogits(*logits, looked_at, stats);
  } else {
    FailAll(logits.status());
  }
  stats.plan = planned - begun;
  stats.model = computed - planned;
  stats.emit = parts_.clock.Now() - computed - stats.sample;
  parts_.observer.OnStep(stats);
  return true;
}

void Scheduler::ApplyLogits(absl::Span<const float> logits, std::optional<int32_t> looked_at,
                            StepStats& stats) {
  const auto begun = parts_.clock.Now();
  const size_t vocab_size = parts_.model.Spec().vocab_size;
  const size_t count = ListReplies(logits);
  auto replies = absl::MakeSpan(replies_).first(count);
  sampler_.Run(replies);
  stats.sample += parts_.clock.Now() - begun;
  for (size_t i = 0; i < plan_.size(); ++i) {
    Session& session = *sessions_[plan_[i].index];
    const auto own = logits.first(batch_.sequences[i].logit_rows * vocab_size);
    logits.remove_prefix(own.size());
    if (!replies.empty() && replies.front().session == &session) {
      if (looked_at && static_cast<size_t>(*looked_at) == i) Look(replies.front(), stats);
      ApplyReply(replies.front(), stats);
      replies.remove_prefix(1);
    } else {
      ReadRows(session, plan_[i].rows, own, stats);
    }
  }
}

// The replies that get tokens, in replies_, whose elements keep their memory from step to step.
size_t Scheduler::ListReplies(absl::Span<const float> logits) {
  const size_t vocab_size = parts_.model.Spec().vocab_size;
  size_t count = 0;
  for (size_t i = 0; i < plan_.size(); ++i) {
    Session& session = *sessions_[plan_[i].index];
    const int32_t rows = batch_.sequences[i].logit_rows;
    const auto own = logits.first(rows * vocab_size);
    logits.remove_prefix(own.size());
    const Sequence& sequence = session.requests.front();
    if (!sequence.request().replies || rows == 0) continue;
    if (count == replies_.size()) replies_.emplace_back();
    ReplyStep& reply = replies_[count++];
    reply.session = &session;
    reply.rows = plan_[i].rows;
    reply.guesses = rows - 1;
    reply.ends_prefill = !sequence.decodes();
    reply.logits = own;
  }
  return count;
}

// How likely the model found what is sampled of its first row.
void Scheduler::Look(const ReplyStep& reply, StepStats& stats) const {
  if (reply.deltas.empty()) return;
  const auto row = reply.logits.first(parts_.model.Spec().vocab_size);
  stats.negative_log_likelihood = NegativeLogLikelihood(row, reply.deltas.front().tokens.front());
}

// The window moves on token by token, as it would without guesses.
void Scheduler::ApplyReply(ReplyStep& reply, StepStats& stats) {
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
    if (session.outbox) session.outbox->Push(std::move(reply.deltas[i]));
  }
  if (!reply.ends_prefill)
    session.guesses = AfterStep(session.guesses, reply.guesses, reply.accepted);
  session.window.CancelReservation(pool_.blocks());
  if (!reply.status.ok()) {
    queue_.Fail(session, reply.status);
  } else if (reply.reason) {
    queue_.FinishTurn(session, *reply.reason);
  }
  EndStreamIfDone(session);
}

// Rows without a reply: of a prompt that goes on, or of an append.
void Scheduler::ReadRows(Session& session, int32_t rows, absl::Span<const float> logits,
                         StepStats& stats) {
  Sequence& sequence = session.requests.front();
  stats.prefill_rows += rows;
  const auto begun = parts_.clock.Now();
  const auto told = TellScores(session, rows, logits, stats);
  stats.sample += parts_.clock.Now() - begun;
  if (!told.ok()) return FailUnread(session, told);
  session.Remember(sequence.NextTokens(rows));
  sequence.Fed(rows, parts_.clock.Now());
  AdvanceWindow(session, rows, stats);
  AfterRows(session, rows);
}

void Scheduler::AdvanceWindow(Session& session, int32_t rows, StepStats& stats) {
  const int64_t evicted_before = session.window.evicted();
  const size_t blocks_before = session.window.recent_blocks().size();
  session.window.Advance(rows, pool_.blocks());
  stats.freed_blocks += blocks_before - session.window.recent_blocks().size();
  pool_.ShareReadPrefix(session);
  const int64_t evicted = session.window.evicted() - evicted_before;
  if (evicted_before == 0 && evicted > 0) RequestQueue::TellWindow(session);
  stats.evicted_tokens += evicted;
  const int64_t block_tokens = parts_.model.Spec().block_tokens;
  stats.evicted_blocks += session.window.evicted() / block_tokens - evicted_before / block_tokens;
}

// After prompt rows: tells how far it is, or that an append is done.
void Scheduler::AfterRows(Session& session, int32_t rows) {
  const Sequence& sequence = session.requests.front();
  const bool one_chunk = rows == sequence.prompt_tokens();
  if (!one_chunk && session.outbox && session.outbox->HasRoom()) {
    session.outbox->Push(
        PrefillProgress{sequence.request().id, sequence.prompt_fed(), sequence.prompt_tokens()});
  }
  if (!sequence.request().replies && sequence.prompt_left() == 0) {
    queue_.FinishAppend(session);
    EndStreamIfDone(session);
  }
}

// Before the window moves on.
absl::Status Scheduler::TellScores(Session& session, int32_t rows, absl::Span<const float> logits,
                                   StepStats& stats) {
  const Sequence& sequence = session.requests.front();
  const auto tokens = sequence.ScoredTokens(rows);
  const auto& scoring = sequence.request().scoring;
  if (tokens.empty() || !scoring) return absl::OkStatus();
  const auto count = static_cast<int64_t>(tokens.size());
  const int64_t position = session.window.position() + rows - count + 1;
  auto scores = ScoreTokens(logits, tokens, position, *scoring);
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

void Scheduler::FailAll(const absl::Status& status) {
  for (const auto& planned : plan_) FailUnread(*sessions_[planned.index], status);
}

// The session has not read the rows that were planned of it.
void Scheduler::FailUnread(Session& session, const absl::Status& status) {
  session.window.CancelReservation(pool_.blocks());
  queue_.Fail(session, status);
  EndStreamIfDone(session);
}

absl::Duration Scheduler::Patience() const {
  const auto next = pool_.NextExpiry();
  if (next == absl::InfiniteFuture()) return absl::InfiniteDuration();
  return std::max(absl::ZeroDuration(), next - parts_.clock.Now());
}

PoolStats Scheduler::Stats() const { return CountPool(pool_, parking_, distributions_); }

}  // namespace sinkstream
