#include "client/session_client.h"

#include <optional>

#include "absl/strings/str_cat.h"
#include "client/wire_status.h"
#include "grpc/health/v1/health.grpc.pb.h"

namespace sinkstream {
namespace {

constexpr absl::Duration kHealthInterval = absl::Milliseconds(50);

bool IsAbout(const v1::ConverseResponse& response, uint64_t request_id) {
  switch (response.event_case()) {
    case v1::ConverseResponse::kPrefillProgress:
      return response.prefill_progress().request_id() == request_id;
    case v1::ConverseResponse::kDelta:
      return response.delta().request_id() == request_id;
    case v1::ConverseResponse::kTurnDone:
      return response.turn_done().request_id() == request_id;
    case v1::ConverseResponse::kFailed:
      return response.failed().request_id() == request_id;
    default:
      return response.has_window_moved();
  }
}

}  // namespace

// While one lives, Abandon() has something to end.
class SessionClient::Call {
 public:
  explicit Call(SessionClient& client) : client_(client) {
    absl::MutexLock lock(&client_.mutex_);
    client_.calling_ = true;
    client_.abandoned_ = false;
  }
  ~Call() {
    absl::MutexLock lock(&client_.mutex_);
    client_.calling_ = false;
  }

 private:
  SessionClient& client_;
};

SessionClient::SessionClient(const std::string& server, const ClientPatience& patience,
                             const Credentials& credentials)
    : patience_(patience),
      channel_(Connect(server, patience, credentials)),
      stub_(v1::ChatService::NewStub(channel_)) {}

SessionClient::~SessionClient() { Leave().IgnoreError(); }

absl::Status SessionClient::CheckServing(absl::Duration patience) {
  const Call call(*this);
  const absl::Status status = AskHealth(absl::Now() + patience, Connecting::kOnce);
  if (!absl::IsDeadlineExceeded(status)) return status;
  return absl::UnavailableError(
      absl::StrCat("nobody answers within ", absl::FormatDuration(patience)));
}

absl::Status SessionClient::WaitForServing(absl::Duration patience) {
  const absl::Time deadline = absl::Now() + patience;
  std::string problem = "nobody answers";
  const Call call(*this);
  do {
    const absl::Status status = AskHealth(deadline, Connecting::kUntilDeadline);
    if (status.ok()) return status;
    if (!absl::IsDeadlineExceeded(status)) problem = std::string(status.message());
    absl::MutexLock lock(&mutex_);
    if (mutex_.AwaitWithTimeout(absl::Condition(&abandoned_), kHealthInterval)) {
      return absl::CancelledError("given up by the client");
    }
  } while (absl::Now() < deadline);
  return absl::UnavailableError(
      absl::StrCat("not ready after ", absl::FormatDuration(patience), ": ", problem));
}

absl::Status SessionClient::AskHealth(absl::Time deadline, Connecting connecting) {
  const auto health = grpc::health::v1::Health::NewStub(channel_);
  grpc::ClientContext context;
  context.set_wait_for_ready(connecting == Connecting::kUntilDeadline);
  context.set_deadline(absl::ToChronoTime(deadline));
  grpc::health::v1::HealthCheckResponse response;
  {
    absl::MutexLock lock(&mutex_);
    asking_ = &context;
    if (abandoned_) context.TryCancel();
  }
  const grpc::Status status = health->Check(&context, {}, &response);
  {
    absl::MutexLock lock(&mutex_);
    asking_ = nullptr;
  }
  if (!status.ok()) return ToAbsl(status);
  return response.status() == grpc::health::v1::HealthCheckResponse::SERVING
             ? absl::OkStatus()
             : absl::UnavailableError("it says NOT_SERVING");
}

absl::StatusOr<v1::Opened> SessionClient::Open(const v1::Open& open) {
  Leave().IgnoreError();
  const Call call(*this);
  {
    absl::MutexLock lock(&mutex_);
    if (abandoned_) return absl::CancelledError("given up by the client");
    stream_ = std::make_unique<ConverseCall>(*stub_);
  }
  auto opened = stream_->Open(open, absl::Now() + patience_.open);
  if (!opened.ok()) EndStream().IgnoreError();
  return opened;
}

absl::StatusOr<v1::TurnDone> SessionClient::Turn(const v1::Turn& turn,
                                                 const EventFunction& on_event) {
  v1::ConverseRequest request;
  *request.mutable_turn() = turn;
  request.mutable_turn()->set_request_id(++turns_);
  const Call call(*this);
  stream_->Send(request);
  while (const auto response = stream_->Next()) {
    if (!IsAbout(*response, turns_)) continue;
    if (response->has_turn_done()) return response->turn_done();
    if (response->has_failed()) return ToAbsl(response->failed().status());
    on_event(*response);
  }
  const absl::Status status = EndStream();
  return status.ok() ? absl::UnavailableError("the server ended the stream") : status;
}

void SessionClient::Cancel() {
  v1::ConverseRequest request;
  request.mutable_cancel();
  absl::MutexLock lock(&mutex_);
  if (stream_) stream_->Send(request);
}

void SessionClient::Abandon() {
  absl::MutexLock lock(&mutex_);
  if (!calling_) return;
  abandoned_ = true;
  if (asking_ != nullptr) asking_->TryCancel();
  if (stream_) stream_->Drop();
}

absl::Status SessionClient::Close() {
  if (!Attached()) return absl::OkStatus();
  v1::ConverseRequest request;
  request.mutable_close();
  const Call call(*this);
  stream_->Send(request);
  stream_->HalfClose();
  return EndStream();
}

absl::Status SessionClient::Leave() {
  if (!Attached()) return absl::OkStatus();
  const Call call(*this);
  stream_->HalfClose();
  return EndStream();
}

bool SessionClient::Attached() const {
  absl::MutexLock lock(&mutex_);
  return stream_ != nullptr;
}

absl::Status SessionClient::EndStream() {
  const absl::Time deadline = absl::Now() + patience_.end;
  while (stream_->Next(deadline)) {
  }
  const absl::Status status = stream_->Status();
  absl::MutexLock lock(&mutex_);
  stream_.reset();
  return status;
}

}  // namespace sinkstream
