#include "engine/session/admission.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "absl/strings/str_format.h"
#include "absl/types/span.h"
#include "engine/errors.h"
#include "engine/sampling/sampling_rules.h"
#include "engine/session/session_rules.h"

namespace sinkstream {
namespace {

// The stream that a command is of; 0 for those of no stream.
AttachmentId AttachmentOf(const Command& command) {
  return std::visit(
      [](const auto& chosen) -> AttachmentId {
        if constexpr (requires { chosen.attachment; }) return chosen.attachment;
        return 0;
      },
      command);
}

// Whether `command`, behind `before` of the same stream, would do nothing: the stream has closed
// its session, or has said the same since its latest request.
bool DoesNothingBehind(absl::Span<const Command> before, const Command& command) {
  for (auto earlier = before.rbegin(); earlier != before.rend(); ++earlier) {
    if (std::holds_alternative<CloseCommand>(*earlier)) return true;
    if (std::holds_alternative<RequestCommand>(*earlier)) return false;
    if (earlier->index() == command.index()) return true;
  }
  return false;
}

int64_t Requests(absl::Span<const Command> commands) {
  return std::count_if(commands.begin(), commands.end(), [](const Command& command) {
    return std::holds_alternative<RequestCommand>(command);
  });
}

}  // namespace

Admission::Admission(const EngineOptions& options, const ModelSpec& spec, Parts parts)
    : options_(options), spec_(spec), parts_(std::move(parts)) {}

bool Admission::HasRoom(size_t bytes) const {
  return waiting_bytes_ == 0 || bytes == 0 || waiting_bytes_ + bytes <= options_.limits.inbox.bytes;
}

void Admission::Arrive(OpenCommand command) {
  const size_t bytes = HeldBytes(command);
  if (!HasRoom(bytes)) {
    return Refuse(command,
                  Exhausted(Refusal::kQueueFull, "inbox: too many streams wait for a session",
                            absl::Seconds(1)));
  }
  waiting_bytes_ += bytes;
  if (Session* const session = SessionOf(command)) ++session->claims;
  waiting_.push_back({std::move(command), {}, nullptr});
}

std::optional<Admission::Arrival> Admission::Next() {
  if (waiting_.empty()) return std::nullopt;
  auto session = Admit(waiting_.front().open);
  if (session.ok() && *session == nullptr) return std::nullopt;
  Arrival arrival = Take(waiting_.begin());
  arrival.session = std::move(session);
  return arrival;
}

Session* Admission::SessionOf(const OpenCommand& command) {
  return parts_.pool.Find(command.request.id, command.request.principal);
}

Admission::Place Admission::Find(AttachmentId attachment) {
  return std::find_if(waiting_.begin(), waiting_.end(), [attachment](const Arrival& arrival) {
    return arrival.open.attachment == attachment;
  });
}

Admission::Arrival Admission::Take(const Place& place) {
  Arrival arrival = std::move(*place);
  waiting_.erase(place);
  if (Session* const session = SessionOf(arrival.open)) --session->claims;
  waiting_bytes_ -= HeldBytes(arrival.open);
  for (const Command& command : arrival.then) waiting_bytes_ -= HeldBytes(command);
  return arrival;
}

bool Admission::Defer(Command& command) {
  const auto place = Find(AttachmentOf(command));
  if (place == waiting_.end()) return false;
  std::vector<Command>& then = place->then;
  if (DoesNothingBehind(then, command)) return true;
  const auto most = static_cast<int64_t>(options_.limits.inbox.owner_commands);
  const size_t bytes = HeldBytes(command);
  const bool counts = std::holds_alternative<RequestCommand>(command);
  if (!counts || (HasRoom(bytes) && Requests(then) < most)) {
    waiting_bytes_ += bytes;
    then.push_back(std::move(command));
    return true;
  }
  Refuse(Take(place).open,
         Exhausted(Refusal::kQueueFull, "inbox: too many calls of this stream wait for its session",
                   absl::Seconds(1)));
  return true;
}

std::optional<Admission::Arrival> Admission::Leave(AttachmentId attachment) {
  const auto place = Find(attachment);
  if (place == waiting_.end()) return std::nullopt;
  return Take(place);
}

void Admission::Refuse(const OpenCommand& command, const absl::Status& status) {
  if (const auto refusal = ErrorRefusal(status)) parts_.observer.OnRejected(*refusal);
  command.outbox->Close(status);
}

void Admission::RefuseFirst(const absl::Status& status) {
  Refuse(Take(waiting_.begin()).open, status);
}

void Admission::RefuseAll(const absl::Status& status) {
  while (!waiting_.empty()) RefuseFirst(status);
}

absl::StatusOr<Session*> Admission::Admit(const OpenCommand& command) {
  return command.request.id.empty() ? OpenNew(command) : Resume(command);
}

absl::StatusOr<Session*> Admission::Resume(const OpenCommand& command) {
  Session* const session = SessionOf(command);
  if (session == nullptr || session->closes) {
    return absl::NotFoundError(
        "open.session_id: no such session: it was never opened here, was "
        "closed, or has been idle for longer than its idle_timeout");
  }
  if (session->cache == Session::Cache::kResident) return session;
  if (session->cache != Session::Cache::kParked) return nullptr;
  const int64_t missing = session->reserved_blocks - parts_.pool.BlocksLeft();
  if (missing <= 0) {
    parts_.parking.Bring(*session);
  } else if (!parts_.parking.MakeRoom(missing, session)) {
    return parts_.pool.NoMemory(session->reserved_blocks, parts_.clock.Now());
  }
  return nullptr;
}

absl::StatusOr<SessionSettings> Admission::Settings(const OpenCommand& command) const {
  const auto& request = command.request;
  SessionSettings settings = options_.defaults;
  settings.sinks = request.sinks.value_or(settings.sinks);
  settings.window = request.window.value_or(settings.window);
  settings.idle_timeout = request.idle_timeout.value_or(settings.idle_timeout);
  settings.sampling = ApplyOverrides(settings.sampling, request.sampling);
  const auto valid =
      ValidateSession(settings, spec_, options_.limits, "open.", ContextField(request));
  if (!valid.ok()) return valid;
  const auto pinned = command.system_turn ? static_cast<int64_t>(command.system_turn->size()) : 0;
  if (pinned <= settings.sinks) return settings;
  const auto fits = ValidateContext(pinned, settings.window, spec_, "open.system_prompt");
  if (!fits.ok()) return fits;
  settings.sinks = static_cast<int32_t>(pinned);
  return settings;
}

absl::StatusOr<Session*> Admission::OpenNew(const OpenCommand& command) {
  auto settings = Settings(command);
  if (!settings.ok()) return settings.status();
  static const std::vector<TokenId> kNoTurn;
  const auto& system_turn = command.system_turn ? *command.system_turn : kNoTurn;
  const bool pinned_alone = static_cast<size_t>(settings->sinks) == system_turn.size();
  const auto prefix = pinned_alone ? system_turn : std::vector<TokenId>();
  const auto& principal = command.request.principal;
  const int64_t missing =
      parts_.pool.BlocksNeeded(principal, *settings, prefix) - parts_.pool.BlocksLeft();
  if (missing > 0 && parts_.pool.CheckPlace(principal, parts_.clock.Now()).ok() &&
      parts_.parking.MakeRoom(missing)) {
    return nullptr;
  }
  const auto opened =
      parts_.pool.Open(NewSessionId(), principal, *std::move(settings), prefix, parts_.clock.Now());
  if (!opened.ok()) return opened;
  Session& session = **opened;
  session.system_tokens = static_cast<int64_t>(system_turn.size());
  if (session.shares_prefix) {
    session.recent.Append(system_turn);
  } else {
    session.unread.owed = system_turn;
  }
  if (command.system_turn) session.turn_place = TurnPlace::kAfterSystem;
  return opened;
}

SessionId Admission::NewSessionId() {
  const uint64_t high = parts_.random();
  return absl::StrFormat("%016x%016x", high, parts_.random());
}

}  // namespace sinkstream
