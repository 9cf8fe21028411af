#include "client/session_client.h"

#include <chrono>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "grpc/health/v1/health.grpc.pb.h"

namespace sinkstream {
namespace {

std::shared_ptr<grpc::Channel> Connect(const std::string& server) {
  grpc::ChannelArguments arguments;
  // A server that is just starting is met soon after its port opens.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  return grpc::CreateCustomChannel(server, grpc::InsecureChannelCredentials(), arguments);
}

// Both libraries use the canonical codes.
absl::Status ToAbsl(const grpc::Status& status) {
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

absl::Status ToAbsl(const google::rpc::Status& status) {
  return absl::Status(static_cast<absl::StatusCode>(status.code()), status.message());
}

}  // namespace

SessionClient::SessionClient(const std::string& server)
    : channel_(Connect(server)), stub_(v1::ChatService::NewStub(channel_)) {}

SessionClient::~SessionClient() { Leave().IgnoreError(); }

absl::Status SessionClient::WaitForServing(absl::Duration patience) {
  const auto health = grpc::health::v1::Health::NewStub(channel_);
  const auto deadline = absl::ToChronoTime(absl::Now() + patience);
  std::string problem = "nobody answers";
  do {
    grpc::ClientContext context;
    context.set_wait_for_ready(true);
    context.set_deadline(deadline);
    grpc::health::v1::HealthCheckResponse response;
    const grpc::Status status = health->Check(&context, {}, &response);
    if (status.ok() && response.status() == grpc::health::v1::HealthCheckResponse::SERVING) {
      return absl::OkStatus();
    }
    if (status.error_code() != grpc::StatusCode::DEADLINE_EXCEEDED) {
      problem = status.ok() ? "it says NOT_SERVING" : status.error_message();
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  } while (std::chrono::system_clock::now() < deadline);
  return absl::UnavailableError(
      absl::StrCat("not ready after ", absl::FormatDuration(patience), ": ", problem));
}

absl::StatusOr<v1::Opened> SessionClient::Open(const v1::Open& open) {
  Leave().IgnoreError();
  {
    std::lock_guard lock(mutex_);
    context_ = std::make_unique<grpc::ClientContext>();
    stream_ = stub_->Converse(context_.get());
  }
  v1::ConverseRequest request;
  *request.mutable_open() = open;
  Send(request);
  v1::ConverseResponse response;
  if (!stream_->Read(&response)) {
    const absl::Status status = EndStream();
    return status.ok() ? absl::InternalError("the stream ended without an answer") : status;
  }
  if (!response.has_opened()) {
    Abandon();
    EndStream().IgnoreError();
    return absl::InternalError("the server's first answer is not `opened`");
  }
  return response.opened();
}

absl::StatusOr<v1::TurnDone> SessionClient::Turn(const v1::Turn& turn,
                                                 const EventFunction& on_event) {
  v1::ConverseRequest request;
  *request.mutable_turn() = turn;
  Send(request);
  v1::ConverseResponse response;
  while (stream_->Read(&response)) {
    if (response.has_turn_done()) return response.turn_done();
    if (response.has_failed()) return ToAbsl(response.failed().status());
    on_event(response);
  }
  const absl::Status status = EndStream();
  return status.ok() ? absl::UnavailableError("the server ended the stream") : status;
}

void SessionClient::Cancel() {
  v1::ConverseRequest request;
  request.mutable_cancel();
  Send(request);
}

void SessionClient::Abandon() {
  std::lock_guard lock(mutex_);
  if (context_) context_->TryCancel();
}

absl::Status SessionClient::Close() {
  if (!Attached()) return absl::OkStatus();
  v1::ConverseRequest request;
  request.mutable_close();
  Send(request);
  return EndStream();
}

absl::Status SessionClient::Leave() {
  if (!Attached()) return absl::OkStatus();
  {
    std::lock_guard lock(mutex_);
    stream_->WritesDone();
  }
  return EndStream();
}

bool SessionClient::Attached() const {
  std::lock_guard lock(mutex_);
  return stream_ != nullptr;
}

void SessionClient::Send(const v1::ConverseRequest& request) {
  std::lock_guard lock(mutex_);
  if (stream_) stream_->Write(request);  // a broken stream shows at the next Read
}

absl::Status SessionClient::EndStream() {
  v1::ConverseResponse ignored;
  while (stream_->Read(&ignored)) {
  }
  const grpc::Status status = stream_->Finish();
  std::lock_guard lock(mutex_);
  stream_.reset();
  context_.reset();
  return ToAbsl(status);
}

}  // namespace sinkstream
