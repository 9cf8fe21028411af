#include "server/stream/converse_stream.h"

#include <string>
#include <utility>
#include <variant>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/errors.h"
#include "server/telemetry/trace_metadata.h"
#include "server/wire/message_parse.h"
#include "server/wire/response.h"

namespace sinkstream {

ConverseStream::ConverseStream(grpc::CallbackServerContext& context, StreamEnvironment& environment)
    : EventStream(environment), context_(context) {
  if (!Join(context)) return;
  StartSendInitialMetadata();
  StartRead(&inbound_);
  open_deadline_.Start(environment.open_deadline, [this] { OnOpenMissed(); });
}

ConverseStream::Outcome ConverseStream::Message(const Event& event) {
  return {.message = ToByteBuffer(
              ToResponse(event, environment_.engine.GetTokenizer(), environment_.limits))};
}

void ConverseStream::OnReadDone(bool ok) {
  Guarded([&] {
    if (ok) {
      HandleMessage();
    } else {
      HandleEndOfMessages();
    }
  });
}

void ConverseStream::OnOpenMissed() {
  Guarded([&] {
    Perform(state_.End(absl::DeadlineExceededError(
        absl::StrCat("open: has not come within ", absl::FormatDuration(environment_.open_deadline),
                     " of the stream's start"))));
  });
}

void ConverseStream::HandleMessage() {
  auto request = ParseAs<v1::ConverseRequest>(inbound_);
  const bool parsed = request.ok();
  absl::StatusOr<std::optional<Event>> answer =
      parsed ? Carry(*std::move(request)) : Refuse(request.status());
  Count(answer, parsed);
  inbound_.Clear();
  Perform(answer.ok() ? state_.ReadDone(*std::move(answer)) : state_.End(answer.status()));
}

void ConverseStream::Count(const absl::StatusOr<std::optional<Event>>& answer, bool parsed) {
  ServiceMetrics& metrics = environment_.metrics;
  if (!answer.ok()) return metrics.MessageRefused(answer.status(), parsed);
  const std::optional<Event>& event = *answer;
  if (!event) return;
  const absl::Status& status = std::get<RequestFailed>(*event).status;
  metrics.MessageRefused(status, parsed);
  metrics.Told(ErrorScope::kRequest, status);
}

void ConverseStream::HandleEndOfMessages() {
  if (context_.IsCancelled()) return;  // OnCancel ends it
  if (const auto attachment = state_.Attachment()) {
    environment_.engine.HalfClose(*attachment);
  } else {
    Perform(state_.End(absl::FailedPreconditionError("open: must be the first message")));
  }
}

absl::StatusOr<std::optional<Event>> ConverseStream::Carry(v1::ConverseRequest request) {
  if (request.event_case() == v1::ConverseRequest::EVENT_NOT_SET) {
    return InvalidField("event", "is not set: open, turn, append, cancel or close");
  }
  if (request.has_open() == open_seen_) {
    return absl::FailedPreconditionError(open_seen_ ? "open: the stream is open already"
                                                    : "open: must be the first message");
  }
  if (request.has_open()) {
    open_seen_ = true;
    open_deadline_.Met();
    const absl::Status opened = Open(std::move(*request.mutable_open()));
    if (!opened.ok()) return opened;
    return std::nullopt;
  }
  const uint64_t id =
      request.has_turn() ? request.turn().request_id() : request.append().request_id();
  absl::Status submitted = Submit(request);
  if (submitted.ok()) return std::nullopt;
  return RequestFailed{id, std::move(submitted)};
}

// A text in a turn or append that is not UTF-8 ends that request only.
absl::StatusOr<std::optional<Event>> ConverseStream::Refuse(absl::Status status) const {
  const std::string field = ErrorField(status).value_or("");
  const bool turn = absl::StartsWith(field, "turn.");
  if (!open_seen_ || !(turn || absl::StartsWith(field, "append."))) return status;
  const auto id = turn ? FindInteger(inbound_, {v1::ConverseRequest::kTurnFieldNumber,
                                                v1::Turn::kRequestIdFieldNumber})
                       : FindInteger(inbound_, {v1::ConverseRequest::kAppendFieldNumber,
                                                v1::Append::kRequestIdFieldNumber});
  return RequestFailed{id.value_or(0), std::move(status)};
}

absl::Status ConverseStream::Open(v1::Open open) {
  absl::StatusOr<OpenRequest> request = ToOpenRequest(std::move(open), environment_.rules);
  if (!request.ok()) return request.status();
  request->principal = principal_;
  request->trace = TraceOf(context_);
  const auto attachment = environment_.engine.Open(*std::move(request), outbox_);
  if (!attachment.ok()) return attachment.status();
  if (!state_.Attach(*attachment)) environment_.engine.Detach(*attachment);
  return absl::OkStatus();
}

absl::Status ConverseStream::Submit(v1::ConverseRequest& request) {
  const auto attachment = state_.Attachment();
  if (!attachment.has_value()) return absl::OkStatus();  // the stream is at its end
  Engine& engine = environment_.engine;
  if (request.has_cancel()) {
    engine.Cancel(*attachment);
    return absl::OkStatus();
  }
  if (request.has_close()) {
    engine.Close(*attachment);
    return absl::OkStatus();
  }
  if (request.has_turn()) {
    auto turn = ToTurnRequest(std::move(*request.mutable_turn()), environment_.rules);
    return turn.ok() ? engine.Turn(*attachment, *std::move(turn)) : turn.status();
  }
  auto append = ToAppendRequest(std::move(*request.mutable_append()), environment_.rules);
  return append.ok() ? engine.Append(*attachment, *std::move(append)) : append.status();
}

}  // namespace sinkstream
