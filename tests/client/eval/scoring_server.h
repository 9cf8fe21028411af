// ScoringServer: a server in this process whose model is simple enough to be computed by a test. A
// token is a byte; a token is as likely as it is frequent among the tokens seen, counted from one.
#pragma once

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "sinkstream/v1/chat.grpc.pb.h"
#include "sinkstream/v1/score.grpc.pb.h"
#include "tests/client/loopback_server.h"

namespace sinkstream::eval {

inline constexpr int32_t kVocabulary = 128;
inline constexpr int64_t kTrainedContext = 600;
inline constexpr int64_t kTokensOfPiece = 7;  // scores of an event

using Ids = std::vector<int32_t>;

// Log-probabilities of what follows the first `count` of `ids`.
inline std::vector<float> Predict(const Ids& ids, int64_t count, int64_t sinks, int64_t window) {
  std::vector<double> seen(kVocabulary, 1);
  double total = kVocabulary;
  for (int64_t i = 0; i < count; ++i) {
    if (i >= sinks && i < count - window) continue;
    ++seen[static_cast<size_t>(ids[static_cast<size_t>(i)])];
    ++total;
  }
  std::vector<float> logprobs;
  for (const double one : seen) logprobs.push_back(static_cast<float>(std::log(one / total)));
  return logprobs;
}

inline double Nll(const Ids& ids, int64_t token, int64_t sinks, int64_t window) {
  return -Predict(ids, token, sinks, window)[static_cast<size_t>(ids[static_cast<size_t>(token)])];
}

class ScoringServer final : private v1::ChatService::Service, private v1::ScoreService::Service {
 public:
  const std::string& address() const { return server_.address(); }

  // So many `open`s to come are refused for want of memory; `for_now`: with advice when to try
  // again.
  void RefuseOpens(int count, bool for_now = true) {
    const std::lock_guard lock(mutex_);
    refused_opens_ = count;
    refused_for_now_ = for_now;
  }
  // Appends are carried out until a session would have more tokens; then its stream breaks.
  void BreakBeyond(int64_t tokens) {
    const std::lock_guard lock(mutex_);
    most_tokens_ = tokens;
  }
  // Its model's name and what it says where it breaks streams end so.
  void AddToTexts(const std::string& text) {
    const std::lock_guard lock(mutex_);
    added_text_ = text;
  }
  // As where a stream breaks in the midst of an append.
  void FeedWhatSessionsOwe() {
    const std::lock_guard lock(mutex_);
    for (auto& [id, session] : sessions_) session.owed = 0;
  }
  // The dtype of the keys and values that it tells of.
  void CacheAs(const std::string& dtype) {
    const std::lock_guard lock(mutex_);
    kv_dtype_ = dtype;
  }
  void ForgetSessions() {
    const std::lock_guard lock(mutex_);
    sessions_.clear();
  }
  // As where they were parked and cannot be read back: that is told once.
  void LoseSessions() {
    const std::lock_guard lock(mutex_);
    for (const auto& [id, session] : sessions_) lost_.insert(id);
    sessions_.clear();
  }
  // Tokens that all appends together have brought.
  int64_t tokens_read() const {
    const std::lock_guard lock(mutex_);
    return tokens_read_;
  }
  size_t sessions() const {
    const std::lock_guard lock(mutex_);
    return sessions_.size();
  }

 private:
  struct Session {
    int64_t sinks = 0;
    int64_t window = 0;
    bool stays = false;
    Ids ids;
    int64_t owed = 0;  // of them, that a scored append has kept for the next one
  };

  grpc::Status GetModel(grpc::ServerContext*, const v1::GetModelRequest*,
                        v1::GetModelResponse* response) override {
    const std::lock_guard lock(mutex_);
    response->set_name("Counting" + added_text_);
    response->set_weight_dtype("float32");
    response->set_kv_dtype(kv_dtype_);
    response->set_vocab_size(kVocabulary);
    response->set_trained_context(kTrainedContext);
    response->set_server_version("1.2.3");
    response->mutable_defaults()->set_sinks(4);
    response->mutable_defaults()->set_window(60);
    response->mutable_limits()->set_max_request_bytes(1024);
    response->mutable_limits()->set_max_request_tokens(2048);
    response->mutable_limits()->mutable_max_idle_timeout()->set_seconds(60);
    return grpc::Status::OK;
  }

  grpc::Status Tokenize(grpc::ServerContext*, const v1::TokenizeRequest* request,
                        v1::TokenizeResponse* response) override {
    if (request->text().size() > 1024)
      return {grpc::StatusCode::INVALID_ARGUMENT, "text: too long"};
    for (const char byte : request->text()) response->add_token_ids(byte);
    return grpc::Status::OK;
  }

  grpc::Status GetLoad(grpc::ServerContext*, const v1::GetLoadRequest*,
                       v1::GetLoadResponse* response) override {
    response->set_resident_bytes(int64_t{100} << 20);
    return grpc::Status::OK;
  }

  grpc::Status Converse(
      grpc::ServerContext*,
      grpc::ServerReaderWriter<v1::ConverseResponse, v1::ConverseRequest>* stream) override {
    v1::ConverseRequest request;
    stream->Read(&request);
    v1::ConverseResponse opened;
    const grpc::Status status = Open(request.open(), *opened.mutable_opened());
    if (!status.ok()) return status;
    stream->Write(opened);
    const std::string id = opened.opened().session_id();
    while (stream->Read(&request) && request.has_append()) {
      std::vector<v1::Scores> pieces;
      if (!Append(id, request.append(), pieces)) {
        const std::lock_guard lock(mutex_);
        return {grpc::StatusCode::UNAVAILABLE, "shutting down" + added_text_};
      }
      for (const v1::Scores& piece : pieces) {
        v1::ConverseResponse scores;
        *scores.mutable_scores() = piece;
        stream->Write(scores);
      }
      v1::ConverseResponse done;
      done.mutable_append_done();
      stream->Write(done);
    }
    const std::lock_guard lock(mutex_);
    if (request.has_close() || !sessions_[id].stays) sessions_.erase(id);
    return grpc::Status::OK;
  }

  grpc::Status Open(const v1::Open& open, v1::Opened& opened) {
    const std::lock_guard lock(mutex_);
    if (refused_opens_ > 0) {
      --refused_opens_;
      if (!refused_for_now_) return {grpc::StatusCode::RESOURCE_EXHAUSTED, "too big"};
      return NoRoom();
    }
    std::string id = open.session_id();
    if (lost_.erase(id) > 0) return {grpc::StatusCode::DATA_LOSS, "cannot be read back"};
    if (!id.empty() && !sessions_.contains(id)) {
      return {grpc::StatusCode::NOT_FOUND, "no such session"};
    }
    if (id.empty()) {
      id = std::to_string(++last_id_);
      sessions_[id] = {open.sinks(), open.window(), open.idle_timeout().seconds() > 0, {}, 0};
    }
    opened.set_session_id(id);
    opened.set_position(std::ssize(sessions_[id].ids) - sessions_[id].owed);
    return grpc::Status::OK;
  }

  static grpc::Status NoRoom() {
    google::rpc::RetryInfo retry;
    retry.mutable_retry_delay()->set_nanos(1000000);
    google::rpc::Status details;
    details.set_code(grpc::StatusCode::RESOURCE_EXHAUSTED);
    details.add_details()->PackFrom(retry);
    return {grpc::StatusCode::RESOURCE_EXHAUSTED, "no memory", details.SerializeAsString()};
  }

  bool Append(const std::string& id, const v1::Append& append, std::vector<v1::Scores>& pieces) {
    const std::lock_guard lock(mutex_);
    Session& session = sessions_[id];
    const auto& ids = append.token_ids().ids();
    if (most_tokens_ >= 0 && std::ssize(session.ids) + ids.size() > most_tokens_) return false;
    const int64_t first = std::ssize(session.ids) + append.scoring().skip_tokens();
    session.ids.insert(session.ids.end(), ids.begin(), ids.end());
    session.owed = append.has_scoring() ? 1 : 0;
    tokens_read_ += ids.size();
    Score(session, first, append.scoring(), pieces);
    return true;
  }

  // In pieces of a few tokens, as a server gives what it scores in several steps.
  static void Score(const Session& session, int64_t first, const v1::Scoring& scoring,
                    std::vector<v1::Scores>& pieces) {
    for (int64_t token = first; token < std::ssize(session.ids); ++token) {
      if ((token - first) % kTokensOfPiece == 0) pieces.emplace_back().set_position(token);
      v1::Scores& scores = pieces.back();
      const std::vector<float> all = Predict(session.ids, token, session.sinks, session.window);
      v1::TokenLogprob& chosen = *scores.add_logprobs()->mutable_chosen();
      chosen.set_token_id(session.ids[static_cast<size_t>(token)]);
      chosen.set_logprob(all[static_cast<size_t>(chosen.token_id())]);
      if (!scoring.distributions()) continue;
      scores.add_distributions(
          std::string(reinterpret_cast<const char*>(all.data()), all.size() * sizeof(float)));
    }
  }

  grpc::Status Score(grpc::ServerContext*, const v1::ScoreRequest* request,
                     grpc::ServerWriter<v1::ScoreResponse>* writer) override {
    const auto& ids = request->token_ids().ids();
    const Session session{request->sinks(), request->window(), false, {ids.begin(), ids.end()}, 0};
    std::vector<v1::Scores> pieces;
    Score(session, request->scoring().skip_tokens(), request->scoring(), pieces);
    for (const v1::Scores& piece : pieces) {
      v1::ScoreResponse scores;
      *scores.mutable_scores() = piece;
      writer->Write(scores);
    }
    v1::ScoreResponse done;
    done.mutable_done();
    writer->Write(done);
    return grpc::Status::OK;
  }

  mutable std::mutex mutex_;
  std::map<std::string, Session> sessions_;
  std::set<std::string> lost_;  // and not yet told
  std::string kv_dtype_ = "float32";
  int last_id_ = 0;
  int refused_opens_ = 0;
  bool refused_for_now_ = true;
  int64_t most_tokens_ = -1;
  std::string added_text_;
  int64_t tokens_read_ = 0;
  LoopbackServer server_{{static_cast<v1::ChatService::Service*>(this),
                          static_cast<v1::ScoreService::Service*>(this)}};
};

}  // namespace sinkstream::eval
