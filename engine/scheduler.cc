#include "engine/scheduler.h"

#include <algorithm>
#include <utility>

#include "engine/errors.h"
#include "engine/sampling/sampling_rules.h"
#include "engine/session/pool_stats.h"
#include "engine/session/scoring.h"
#include "engine/session/session_rules.h"

namespace sinkstream {

Scheduler::Scheduler(const EngineOptions& options, Parts parts)
    : options_(options),
      parts_(std::move(parts)),
      pool_(parts_.model.Spec(),
            {options.limits.max_sessions, options.limits.max_principal_sessions,
             StepSlackBlocks(options.limits, parts_.model.Spec())}),
      parking_(pool_, parts_.park, parts_.observer, parts_.clock),
      admission_(options_, parts_.model.Spec(),
                 {pool_, parking_, parts_.observer, parts_.clock, parts_.random}),
      queue_({options.limits.max_queued_requests, options.limits.max_request_tokens},
             parts_.tokenizer, parts_.format, parts_.observer, parts_.clock),
      runner_(options_, {parts_.model, parts_.format, parts_.observer, parts_.clock, pool_, queue_},
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
  if (!resumed) session.planned_at = runner_.planned();
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
// it closed its session. (Not while the server drains: it ends all sessions itself.)
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
  EndDoneStreams({&session, 1});
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
  EndDoneStreams({&session, 1});
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

// Closes sessions: `sessions` may be gone behind it.
void Scheduler::EndDoneStreams(absl::Span<Session* const> sessions) {
  bool ended = false;
  for (Session* const session : sessions) {
    if (!session->half_closed || !session->requests.empty()) continue;
    LeaveStream(*session, absl::OkStatus());
    ended = true;
  }
  if (ended) CloseExpired();
}

bool Scheduler::RunStep() {
  AttachArrivals();
  const auto planned = runner_.Run();
  EndDoneStreams(planned);
  return !planned.empty();
}

absl::Duration Scheduler::Patience() const {
  const auto next = pool_.NextExpiry();
  if (next == absl::InfiniteFuture()) return absl::InfiniteDuration();
  return std::max(absl::ZeroDuration(), next - parts_.clock.Now());
}

PoolStats Scheduler::Stats() const { return CountPool(pool_, parking_, runner_.distributions()); }

}  // namespace sinkstream
