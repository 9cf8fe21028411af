#include "client/session_client.h"

#include <optional>

#include "absl/strings/str_cat.h"
#include "grpc/health/v1/health.grpc.pb.h"

namespace sinkstream {
namespace {

constexpr absl::Duration kHealthInterval = absl::Milliseconds(50);

int Milliseconds(absl::Duration duration) {
  return static_cast<int>(absl::ToInt64Milliseconds(duration));
}

std::shared_ptr<grpc::Channel> Connect(const std::string& server, const ClientPatience& patience) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, Milliseconds(patience.ping_interval));
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, Milliseconds(patience.ping_answer));
  // By default gRPC sends two pings in a pause of the conversation and no more.
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  // A server that is just starting is met soon after its port opens.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  return grpc::CreateCustomChannel(server, grpc::InsecureChannelCredentials(), arguments);
}

// All use the canonical codes.
absl::Status ToAbsl(const grpc::Status& status) {
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

absl::Status ToAbsl(const google::rpc::Status& status) {
  return absl::Status(static_cast<absl::StatusCode>(status.code()), status.message());
}

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

SessionClient::SessionClient(const std::string& server, const ClientPatience& patience)
    : patience_(patience),
      channel_(Connect(server, patience)),
      stub_(v1::ChatService::NewStub(channel_)) {}

SessionClient::~SessionClient() { Leave().IgnoreError(); }

absl::Status SessionClient::WaitForServing(absl::Duration patience) {
  const absl::Time deadline = absl::Now() + patience;
  std::string problem = "nobody answers";
  const Call call(*this);
  do {
    const absl::Status status = AskHealth(deadline);
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

absl::Status SessionClient::AskHealth(absl::Time deadline) {
  const auto health = grpc::health::v1::Health::NewStub(channel_);
  grpc::ClientContext context;
  context.set_wait_for_ready(true);
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
    stream_ = std::make_unique<ConverseStream>(*stub_);
  }
  v1::ConverseRequest request;
  *request.mutable_open() = open;
  stream_->Send(request);
  const auto response = stream_->Next(absl::Now() + patience_.open);
  if (!response) {
    const absl::Status status = EndStream();
    return status.ok() ? absl::InternalError("the stream ended without an answer") : status;
  }
  if (!response->has_opened()) {
    stream_->Drop();
    EndStream().IgnoreError();
    return absl::InternalError("the server's first answer is not `opened`");
  }
  return response->opened();
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
