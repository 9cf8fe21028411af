#include "client/converse_call.h"

#include <utility>

#include "client/wire_status.h"

namespace sinkstream {

ConverseCall::ConverseCall(v1::ChatService::Stub& stub) {
  stub.async()->Converse(&context_, this);
  AddHold();  // reads and writes are started from outside of callbacks
  StartCall();
}

ConverseCall::~ConverseCall() {
  Drop();
  while (Next()) {
  }
}

absl::StatusOr<v1::Opened> ConverseCall::Open(const v1::Open& open, absl::Time deadline) {
  v1::ConverseRequest request;
  *request.mutable_open() = open;
  Send(std::move(request));
  auto answer = Next(deadline);
  if (!answer) {
    const absl::Status status = Status();
    return status.ok() ? absl::UnavailableError("the server ended the stream") : status;
  }
  if (answer->has_opened()) return std::move(*answer->mutable_opened());
  Drop();
  return absl::InternalError("the server's first answer is not `opened`");
}

void ConverseCall::Drop() {
  absl::MutexLock lock(&mutex_);
  status_.Update(absl::CancelledError("given up by the client"));
  context_.TryCancel();
}

std::optional<v1::ConverseResponse> ConverseCall::Next(absl::Time deadline) {
  absl::MutexLock lock(&mutex_);
  if (!ended_) StartRead(&incoming_);
  const absl::Condition read_or_done(this, &ConverseCall::ReadOrDone);
  if (!mutex_.AwaitWithDeadline(read_or_done, deadline)) {
    status_ = absl::DeadlineExceededError("the server did not answer in time");
    context_.TryCancel();
    mutex_.Await(read_or_done);
  }
  if (!read_) return std::nullopt;
  read_ = false;
  return std::move(incoming_);
}

absl::Status ConverseCall::Status() const {
  absl::MutexLock lock(&mutex_);
  return status_;
}

void ConverseCall::OnReadDone(bool ok) {
  absl::MutexLock lock(&mutex_);
  read_ = ok;
  ended_ = !ok;
  if (ended_) RemoveHold();
}

void ConverseCall::OnDone(const grpc::Status& status) {
  absl::MutexLock lock(&mutex_);
  done_ = true;
  status_.Update(ToAbsl(status));
}

}  // namespace sinkstream
