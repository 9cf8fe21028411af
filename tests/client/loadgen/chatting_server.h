// ChattingServer: a server in this process that answers every turn with as many tokens as it asks
// for, at once, and breaks down when it is told to. A token is a byte.
#pragma once

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "sinkstream/v1/chat.grpc.pb.h"
#include "tests/client/loopback_server.h"

namespace sinkstream::loadgen {

class ChattingServer final : private v1::ChatService::Service {
 public:
  using Stream = grpc::ServerReaderWriter<v1::ConverseResponse, v1::ConverseRequest>;

  // What it was asked for.
  struct Seen {
    int opens = 0;
    int reopens = 0;
    int turns = 0;
    int cancels = 0;
    int closes = 0;
    int64_t appended = 0;        // tokens
    std::vector<v1::Turn> said;  // every turn
    v1::Open last_open;          // of a new session
    int most_sessions = 0;       // at a time
  };

  const std::string& address() const { return server_.address(); }
  std::unique_ptr<v1::ChatService::Stub> NewStub() {
    return v1::ChatService::NewStub(server_.server().InProcessChannel({}));
  }
  Seen seen() const {
    const std::lock_guard lock(mutex_);
    return seen_;
  }

  // Turns after so many break their streams.
  void BreakAfter(int turns) { break_after_ = turns; }
  // The so many-th turn ends its stream, with OK.
  void HangUpAt(int turn) { hang_up_at_ = turn; }
  // Turns after so many get no answer, until their stream ends.
  void FallSilentAfter(int turns) { silent_after_ = turns; }
  // Its model's name and what it says where it breaks streams end so.
  void AddToTexts(const std::string& text) { added_text_ = text; }
  // Every so many-th turn fails for want of room.
  void FailEvery(int turns) { fail_every_ = turns; }
  // More sessions at a time are refused.
  void Hold(int sessions) { most_sessions_ = sessions; }

 private:
  grpc::Status GetModel(grpc::ServerContext*, const v1::GetModelRequest*,
                        v1::GetModelResponse* response) override {
    response->set_name("parrot" + added_text_);
    response->set_weight_dtype("float32");
    response->set_isa("portable");
    response->set_server_version("1.2.3");
    response->mutable_limits()->set_max_tokens(1000);
    response->mutable_limits()->set_max_request_tokens(500);
    response->mutable_limits()->set_max_request_bytes(4096);
    return grpc::Status::OK;
  }

  grpc::Status Tokenize(grpc::ServerContext*, const v1::TokenizeRequest* request,
                        v1::TokenizeResponse* response) override {
    for (const char byte : request->text()) response->add_token_ids(byte);
    return grpc::Status::OK;
  }

  grpc::Status Converse(grpc::ServerContext*, Stream* stream) override {
    v1::ConverseRequest request;
    if (!stream->Read(&request) || !Enter(request.open())) {
      return {grpc::StatusCode::RESOURCE_EXHAUSTED, "too many sessions"};
    }
    v1::ConverseResponse opened;
    opened.mutable_opened()->set_session_id("0123456789abcdef0123456789abcdef");
    stream->Write(opened);
    std::optional<grpc::Status> end;
    while (!end && stream->Read(&request)) end = Answer(request, *stream);
    const std::lock_guard lock(mutex_);
    --sessions_;
    return end.value_or(grpc::Status::OK);
  }

  bool Enter(const v1::Open& open) {
    const std::lock_guard lock(mutex_);
    ++(open.session_id().empty() ? seen_.opens : seen_.reopens);
    if (open.session_id().empty()) seen_.last_open = open;
    if (sessions_ == most_sessions_) return false;
    seen_.most_sessions = std::max(seen_.most_sessions, ++sessions_);
    return true;
  }

  // How the stream ends; nothing while it goes on.
  std::optional<grpc::Status> Answer(const v1::ConverseRequest& request, Stream& stream) {
    if (request.has_append()) {
      Count(&Seen::appended, request.append().token_ids().ids_size());
      v1::ConverseResponse done;
      done.mutable_append_done()->set_request_id(request.append().request_id());
      stream.Write(done);
    }
    if (request.has_cancel()) Count(&Seen::cancels, 1);
    if (request.has_close()) Count(&Seen::closes, 1);
    return request.has_turn() ? Reply(request.turn(), stream) : std::nullopt;
  }

  template <typename Number>
  void Count(Number Seen::* counter, int by) {
    const std::lock_guard lock(mutex_);
    seen_.*counter += by;
  }

  int Note(const v1::Turn& turn) {
    const std::lock_guard lock(mutex_);
    seen_.said.push_back(turn);
    return ++seen_.turns;
  }

  std::optional<grpc::Status> Reply(const v1::Turn& turn, Stream& stream) {
    const int number = Note(turn);
    if (number > break_after_)
      return grpc::Status(grpc::StatusCode::UNAVAILABLE, "shutting down" + added_text_);
    if (number == hang_up_at_) return grpc::Status::OK;
    v1::ConverseRequest ignored;
    if (number > silent_after_) {
      while (stream.Read(&ignored)) {
      }
      return grpc::Status::OK;
    }
    v1::ConverseResponse response;
    if (fail_every_ > 0 && number % fail_every_ == 0) {
      response.mutable_failed()->set_request_id(turn.request_id());
      response.mutable_failed()->mutable_status()->set_code(grpc::StatusCode::RESOURCE_EXHAUSTED);
      stream.Write(response);
      return std::nullopt;
    }
    for (int i = 0; i < turn.sampling().max_tokens(); ++i) {
      response.mutable_delta()->set_request_id(turn.request_id());
      response.mutable_delta()->clear_token_ids();
      response.mutable_delta()->add_token_ids(65);
      stream.Write(response);
    }
    response.mutable_turn_done()->set_request_id(turn.request_id());
    stream.Write(response);
    return std::nullopt;
  }

  static constexpr int kNever = 1 << 30;
  int break_after_ = kNever;
  int silent_after_ = kNever;
  int hang_up_at_ = kNever;
  int fail_every_ = 0;
  std::string added_text_;
  int most_sessions_ = kNever;

  mutable std::mutex mutex_;
  Seen seen_;
  int sessions_ = 0;
  LoopbackServer server_{{this}};
};

}  // namespace sinkstream::loadgen
