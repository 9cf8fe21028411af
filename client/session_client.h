// SessionClient: talks to one server in one session at a time, by blocking calls. It is the example
// of the API: it knows the wire contract (proto/sinkstream/v1/chat.proto) and nothing else of this
// project.
//
// Threads: one thread makes the calls; Cancel() and Abandon() may be called by any other meanwhile.
#pragma once

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "sinkstream/v1/chat.grpc.pb.h"

namespace sinkstream {

class SessionClient {
 public:
  using EventFunction = std::function<void(const v1::ConverseResponse&)>;

  // `server`: ADDRESS:PORT. Connects at the first call, without encryption.
  explicit SessionClient(const std::string& server);
  // Leaves the session as Leave() does.
  ~SessionClient();
  SessionClient(const SessionClient&) = delete;
  SessionClient& operator=(const SessionClient&) = delete;

  // Returns as soon as the server's health service says SERVING; UNAVAILABLE if it does not within
  // `patience`.
  absl::Status WaitForServing(absl::Duration patience);

  // Leaves the session at hand, if any, then opens a stream and attaches it: to a new session, or
  // to `open.session_id`. An error is the one that the stream ended with.
  absl::StatusOr<v1::Opened> Open(const v1::Open& open);

  // Sends `turn` and gives `on_event` every answer about it, up to and without its end; returns
  // that end. After an error Attached() tells whether the turn alone has failed or the stream with
  // it. Requires: Attached().
  absl::StatusOr<v1::TurnDone> Turn(const v1::Turn& turn, const EventFunction& on_event);

  // Asks the server to end the running turn: Turn() returns with FINISH_REASON_CANCELLED. Nothing
  // runs: no effect.
  void Cancel();

  // Drops the stream at once, without the server's consent: Turn() returns CANCELLED. For a server
  // that is stuck.
  void Abandon();

  // Ends the session: its memory is free and its id forgotten. Waits for the server to confirm.
  absl::Status Close();

  // Half-closes the stream; the session stays for its idle timeout and is re-attached by its id.
  absl::Status Leave();

  // False before Open() and once the stream has ended, for whatever reason.
  bool Attached() const;

 private:
  using Stream = grpc::ClientReaderWriter<v1::ConverseRequest, v1::ConverseResponse>;

  void Send(const v1::ConverseRequest& request);
  // Reads what is left and ends the stream; its status.
  absl::Status EndStream();

  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<v1::ChatService::Stub> stub_;

  // Held while a message is sent and while the stream is made or dropped, never while one is read.
  mutable std::mutex mutex_;
  std::unique_ptr<grpc::ClientContext> context_;
  std::unique_ptr<Stream> stream_;  // null: not attached
};

}  // namespace sinkstream
