#include "server/stream/event_stream.h"

#include <utility>

#include "server/wire/status.h"

namespace sinkstream {

template <typename Reactor>
EventStream<Reactor>::EventStream(StreamEnvironment& environment)
    : environment_(environment),
      token_times_(environment.metrics),
      outbox_(std::make_shared<Outbox>(
          environment.rules.limits.outbox_capacity,
          [this] {
            if (state_.Ready()) environment_.wakes.Post(this);
          },
          &environment.metrics.outbound_events())),
      state_(outbox_, [this](const Outbox::Batch& batch) { token_times_.HandedOut(batch); }) {
  environment_.metrics.StreamBegun();
}

template <typename Reactor>
bool EventStream<Reactor>::Join(const grpc::ServerContextBase& context) {
  auto principal = environment_.authenticator.Principal(context);
  const absl::Status joined = principal.ok() ? environment_.streams.Add(this) : principal.status();
  if (!joined.ok()) {
    environment_.metrics.CountRefusal(joined);
    Perform(state_.End(joined));
    return false;
  }
  principal_ = *std::move(principal);
  return true;
}

template <typename Reactor>
void EventStream<Reactor>::EndAfterWriting(const absl::Status& status) {
  Guarded([&] { Perform(state_.EndAfterWriting(status)); });
}

template <typename Reactor>
void EventStream<Reactor>::OnWriteDone(bool ok) {
  // No other write begins before the state is told.
  outbound_.Clear();
  outbound_room_ = nullptr;
  Guarded([&] { Perform(state_.WriteDone(ok)); });
}

template <typename Reactor>
void EventStream<Reactor>::OnWake() {
  Guarded([&] { Perform(state_.Woken()); });
}

template <typename Reactor>
void EventStream<Reactor>::OnCancel() {
  Guarded([&] {
    if (const auto attachment = state_.Attachment()) environment_.engine.Detach(*attachment);
    Perform(state_.End(absl::CancelledError("the client is gone")));
  });
}

template <typename Reactor>
void EventStream<Reactor>::OnDone() {
  OnEnd();
  outbox_->Detach();
  if (const auto attachment = state_.Attachment()) environment_.engine.Detach(*attachment);
  environment_.streams.Remove(this);
  environment_.metrics.StreamGone();
  delete this;
}

template <typename Reactor>
absl::Status EventStream<Reactor>::Reported(const std::exception& error) const {
  absl::Status status = absl::InternalError(error.what());
  environment_.on_error(status);
  return status;
}

template <typename Reactor>
bool EventStream<Reactor>::MakeMessage(const Event& event, StreamState::Step& step) {
  try {
    Outcome outcome = Message(event);
    if (outcome.message.has_value()) {
      outbound_ = *std::move(outcome.message);
      if (const auto* const scores = std::get_if<Scores>(&event)) outbound_room_ = scores->room;
      return true;
    }
    if (outcome.end.has_value()) {
      end_counted_ = true;
      step = state_.WriteNotStarted(*std::move(outcome.end));
    } else {
      step = state_.WriteDone(true);
    }
  } catch (const std::exception& error) {
    step = state_.WriteNotStarted(Reported(error));
  }
  return false;
}

// What may throw comes first: the state counts on what it has decided.
template <typename Reactor>
void EventStream<Reactor>::Perform(StreamState::Step step) {
  bool read = step.read;
  while (step.write.has_value()) {
    const Event event = *std::move(step.write);
    if (MakeMessage(event, step)) break;
    read |= step.read;
  }
  grpc::Status end;
  if (step.finish.has_value()) {
    if (!end_counted_) environment_.metrics.Told(ErrorScope::kStream, *step.finish);
    end = EndStatus(*step.finish);
  }
  if (read) Read();
  if (step.write.has_value()) this->StartWrite(&outbound_);
  if (step.finish.has_value()) this->Finish(std::move(end));
}

template <typename Reactor>
grpc::Status EventStream<Reactor>::EndStatus(const absl::Status& status) const {
  try {
    return ToGrpcStatus(status);
  } catch (const std::exception& error) {
    Reported(error).IgnoreError();
    return grpc::Status(grpc::StatusCode::INTERNAL, "internal error");
  }
}

template class EventStream<grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>>;
template class EventStream<grpc::ServerWriteReactor<grpc::ByteBuffer>>;

}  // namespace sinkstream
