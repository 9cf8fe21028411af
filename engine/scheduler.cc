#include "engine/scheduler.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/check.h"
#include "engine/errors.h"
#include "engine/sampling_rules.h"
#include "engine/session_rules.h"

namespace sinkstream {
namespace {

SessionPool::Options PoolOptions(const EngineLimits& limits, const ModelSpec& spec) {
  return {limits.max_sessions,
          StepSlackBlocks(limits.step_tokens, limits.max_prefills_per_step, spec.block_tokens)};
}

// Keeps what the penalties may look at, without moving memory at every token.
void Remember(std::vector<TokenId>& recent, absl::Span<const TokenId> tokens) {
  recent.insert(recent.end(), tokens.begin(), tokens.end());
  if (recent.size() > 2 * kMaxPenaltyLastN) {
    recent.erase(recent.begin(), recent.end() - kMaxPenaltyLastN);
  }
}

}  // namespace

Scheduler::Scheduler(const EngineOptions& options, Parts parts)
    : options_(options),
      parts_(std::move(parts)),
      pool_(parts_.model.Spec(), PoolOptions(options.limits, parts_.model.Spec())),
      queue_({options.limits.max_queued_requests, options.limits.max_request_tokens},
             parts_.tokenizer, parts_.format, parts_.observer, parts_.clock) {}

void Scheduler::Handle(Command command) {
  std::visit([this](auto& chosen) { Carry(chosen); }, command);
  parts_.observer.OnPool(Stats());
}

// ---- sessions ----

SessionId Scheduler::NewSessionId() {
  const uint64_t high = parts_.random();
  return absl::StrFormat("%016x%016x", high, parts_.random());
}

absl::StatusOr<SessionSettings> Scheduler::Settings(const OpenCommand& command) const {
  const auto& request = command.request;
  const auto& spec = parts_.model.Spec();
  SessionSettings settings = options_.defaults;
  settings.sinks = request.sinks.value_or(settings.sinks);
  settings.window = request.window.value_or(settings.window);
  settings.idle_timeout = request.idle_timeout.value_or(settings.idle_timeout);
  settings.sampling = ApplyOverrides(settings.sampling, request.sampling);
  const auto valid = ValidateSession(settings, spec, options_.limits, "open.");
  if (!valid.ok()) return valid;
  const auto pinned = static_cast<int64_t>(command.system_turn.size());
  if (pinned <= settings.sinks) return settings;
  const auto fits = ValidateContext(pinned, settings.window, spec, "open.system_prompt");
  if (!fits.ok()) return fits;
  settings.sinks = static_cast<int32_t>(pinned);
  return settings;
}

absl::StatusOr<Session*> Scheduler::OpenNew(OpenCommand& command) {
  auto settings = Settings(command);
  if (!settings.ok()) return settings.status();
  const auto& system_turn = command.system_turn;
  const bool pinned_alone = static_cast<size_t>(settings->sinks) == system_turn.size();
  const auto opened =
      pool_.Open(NewSessionId(), command.request.principal, *std::move(settings),
                 pinned_alone ? system_turn : std::vector<TokenId>(), parts_.clock.Now());
  if (!opened.ok()) return opened;
  Session& session = **opened;
  if (session.shares_prefix) {
    Remember(session.recent, system_turn);
  } else {
    session.owed = std::move(command.system_turn);
  }
  return opened;
}

absl::StatusOr<Session*> Scheduler::Resume(OpenCommand& command) {
  Session* const session = pool_.Find(command.request.id, command.request.principal);
  if (session == nullptr) {
    return absl::NotFoundError(
        "open.session_id: no such session: it was never opened here, was "
        "closed, or has been idle for longer than its idle_timeout");
  }
  if (session->outbox) {
    LeaveStream(*session, absl::AbortedError("another stream has attached to this session"));
  }
  return session;
}

void Scheduler::Carry(OpenCommand& command) {
  if (draining_) return command.outbox->Close(absl::UnavailableError("the server is draining"));
  CloseExpired();
  const bool resumed = !command.request.id.empty();
  const auto found = resumed ? Resume(command) : OpenNew(command);
  if (!found.ok()) {
    if (const auto reason = ErrorReason(found.status())) parts_.observer.OnRejected(*reason);
    return command.outbox->Close(found.status());
  }
  Session& session = **found;
  pool_.Attach(session, command.attachment, std::move(command.outbox));
  parts_.observer.OnSessionOpened(resumed);
  session.outbox->Push(Opened{session.id, resumed, session.settings, session.window.position(),
                              session.window.evicted(),
                              session.reserved_blocks * parts_.model.Spec().block_bytes});
}

// The stream goes, the session stays for its idle timeout.
void Scheduler::LeaveStream(Session& session, const absl::Status& status) {
  const auto outbox = session.outbox;
  pool_.Detach(session, parts_.clock.Now());
  queue_.CancelAll(session);
  if (outbox) outbox->Close(status);
}

void Scheduler::CloseSession(Session& session, CloseReason reason) {
  parts_.observer.OnSessionClosed(reason, parts_.clock.Now() - session.opened);
  pool_.Close(session);
}

void Scheduler::CloseExpired() {
  for (Session* const session : pool_.Expired(parts_.clock.Now())) {
    const bool with_stream = session->settings.idle_timeout == absl::ZeroDuration();
    CloseSession(*session, with_stream ? CloseReason::kStreamEnd : CloseReason::kIdle);
  }
}

void Scheduler::Shutdown(const absl::Status& status) {
  for (Session* const session : pool_.All()) {
    LeaveStream(*session, status);
    CloseSession(*session, CloseReason::kShutdown);
  }
  parts_.observer.OnPool(Stats());
}

// ---- requests ----

void Scheduler::Carry(RequestCommand& command) {
  Session* const session = pool_.Attached(command.attachment);
  if (session == nullptr) return;
  Sequence::Request request;
  request.id = command.request_id;
  request.replies = command.replies;
  request.input = std::move(command.input);
  request.accepted = parts_.clock.Now();
  if (command.replies) {
    request.sampling = ApplyOverrides(session->settings.sampling, command.sampling);
    const auto valid = ValidateSampling(request.sampling, parts_.model.Spec().vocab_size,
                                        options_.limits.max_tokens, "turn.sampling.");
    if (!valid.ok()) {
      return queue_.Reject(*session, request.id, valid);
    }
    request.seed = request.sampling.seed ? *request.sampling.seed : parts_.random();
  }
  queue_.Submit(*session, std::move(request));
}

void Scheduler::Carry(CancelCommand& command) {
  Session* const session = pool_.Attached(command.attachment);
  if (session == nullptr) return;
  queue_.CancelAll(*session);
  EndStreamIfDone(*session);
}

void Scheduler::Carry(CloseCommand& command) {
  Session* const session = pool_.Attached(command.attachment);
  if (session == nullptr) return;
  LeaveStream(*session, absl::OkStatus());
  CloseSession(*session, CloseReason::kClient);
}

void Scheduler::Carry(HalfCloseCommand& command) {
  Session* const session = pool_.Attached(command.attachment);
  if (session == nullptr) return;
  session->half_closed = true;
  EndStreamIfDone(*session);
}

void Scheduler::Carry(DetachCommand& command) {
  Session* const session = pool_.Attached(command.attachment);
  if (session == nullptr) return;
  LeaveStream(*session, absl::CancelledError("the stream is gone"));
  CloseExpired();
}

void Scheduler::Carry(DrainCommand&) {
  draining_ = true;
  parts_.observer.OnDraining();
}

void Scheduler::EndStreamIfDone(Session& session) {
  if (!session.half_closed || !session.requests.empty()) return;
  LeaveStream(session, absl::OkStatus());
  CloseExpired();
}

// ---- steps ----

std::vector<StepCandidate> Scheduler::Candidates(const std::vector<Session*>& sessions) {
  std::vector<StepCandidate> candidates;
  for (size_t i = 0; i < sessions.size(); ++i) {
    Session& session = *sessions[i];
    if (session.requests.empty()) continue;
    const Sequence& sequence = session.requests.front();
    const bool paused = sequence.decodes() && session.outbox && !session.outbox->HasRoom();
    if (paused && !session.paused) parts_.observer.OnPaused();
    session.paused = paused;
    if (paused) continue;
    candidates.push_back(
        {static_cast<int32_t>(i), sequence.decodes(), sequence.prompt_left(), session.planned_at});
  }
  return candidates;
}

StepBatch Scheduler::BuildBatch(const std::vector<Session*>& sessions,
                                const std::vector<PlannedRows>& plan) {
  StepBatch batch;
  batch.sequences.reserve(plan.size());
  for (const auto& planned : plan) {
    Session& session = *sessions[planned.index];
    session.planned_at = ++planned_;
    session.window.Reserve(planned.rows, pool_.blocks());
    const Sequence& sequence = session.requests.front();
    StepSequence step;
    step.start = session.window.position();
    step.tokens = sequence.NextTokens(planned.rows);
    step.sinks = session.window.sinks();
    step.window = session.window.window();
    step.pinned_blocks = session.window.pinned_blocks();
    step.recent_blocks = session.window.recent_blocks();
    step.first_recent_block = session.window.first_recent_block();
    step.rotary_offset = options_.position_offset;
    step.logits = sequence.NeedsLogits(planned.rows) ? LogitRows::kLast : LogitRows::kNone;
    batch.sequences.push_back(step);
  }
  return batch;
}

// Moves the window on and returns how many tokens have left it.
int64_t Scheduler::AdvanceWindow(Session& session, int32_t rows) {
  Sequence& sequence = session.requests.front();
  Remember(session.recent, sequence.NextTokens(rows));
  const int64_t evicted_before = session.window.evicted();
  session.window.Advance(rows, pool_.blocks());
  pool_.ShareReadPrefix(session);
  sequence.Fed(rows, parts_.clock.Now());
  const int64_t evicted = session.window.evicted() - evicted_before;
  if (evicted_before == 0 && evicted > 0) RequestQueue::TellWindow(session);
  return evicted;
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

void Scheduler::SampleNext(Session& session, absl::Span<const float> logits) {
  Sequence& sequence = session.requests.front();
  const auto& request = sequence.request();
  const auto sampled = sampler_.Sample(logits, request.sampling, session.recent,
                                       UniformDraw(request.seed, sequence.generated()));
  if (!sampled.ok()) {
    queue_.Fail(session, sampled.status());
    return EndStreamIfDone(session);
  }
  Delta delta;
  const auto reason = sequence.AcceptToken(*sampled, parts_.format, parts_.clock.Now(), delta);
  if (session.outbox) session.outbox->Push(std::move(delta));
  if (!reason) return;
  queue_.FinishTurn(session, *reason);
  EndStreamIfDone(session);
}

bool Scheduler::RunStep() {
  const auto begun = parts_.clock.Now();
  const auto sessions = pool_.All();
  const auto candidates = Candidates(sessions);
  const auto& limits = options_.limits;
  const auto plan = PlanStep(
      candidates, {limits.step_tokens, limits.prefill_chunk, limits.max_prefills_per_step});
  if (plan.empty()) return false;
  const StepBatch batch = BuildBatch(sessions, plan);
  const auto planned = parts_.clock.Now();
  const auto logits = parts_.model.Step(batch);
  const auto computed = parts_.clock.Now();

  StepStats stats;
  stats.sequences = static_cast<int32_t>(plan.size());
  size_t row = 0;
  const int32_t vocab_size = parts_.model.Spec().vocab_size;
  for (size_t i = 0; i < plan.size(); ++i) {
    Session& session = *sessions[plan[i].index];
    if (!logits.ok()) {
      session.window.CancelReservation(pool_.blocks());
      queue_.Fail(session, logits.status());
      EndStreamIfDone(session);
      continue;
    }
    const int32_t rows = plan[i].rows;
    const bool decodes = session.requests.front().decodes();
    (decodes ? stats.decode_rows : stats.prefill_rows) += rows;
    stats.evicted_tokens += AdvanceWindow(session, rows);
    const bool samples = batch.sequences[i].logits == LogitRows::kLast;
    if (!decodes) AfterRows(session, rows);
    if (samples) SampleNext(session, logits->subspan(vocab_size * row++, vocab_size));
  }
  stats.plan = planned - begun;
  stats.model = computed - planned;
  stats.sample = parts_.clock.Now() - computed;
  parts_.observer.OnStep(stats);
  parts_.observer.OnPool(Stats());
  return true;
}

absl::Duration Scheduler::Patience() const {
  const auto next = pool_.NextExpiry();
  if (next == absl::InfiniteFuture()) return absl::InfiniteDuration();
  return std::max(absl::ZeroDuration(), next - parts_.clock.Now());
}

PoolStats Scheduler::Stats() {
  PoolStats stats;
  stats.sessions = static_cast<int32_t>(pool_.size());
  stats.attached_sessions = static_cast<int32_t>(pool_.attached());
  for (const Session* const session : pool_.All()) {
    if (session->requests.empty()) continue;
    ++stats.running_requests;
    stats.waiting_requests += static_cast<int32_t>(session->requests.size()) - 1;
  }
  stats.blocks_used = pool_.blocks().used();
  stats.blocks_total = pool_.blocks().total();
  stats.kv_bytes_reserved = int64_t{pool_.reserved_blocks()} * parts_.model.Spec().block_bytes;
  return stats;
}

}  // namespace sinkstream
