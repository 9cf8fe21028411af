// The Score call against a whole server over the fake model.
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "sinkstream/v1/score.grpc.pb.h"
#include "tests/server/chat_server.h"

namespace sinkstream {
namespace {

using grpc::StatusCode;

// One Score call, blocking.
class ScoreCall {
 public:
  // `request` in protobuf's text format.
  ScoreCall(ChatServer& server, const std::string& request)
      : stub_(v1::ScoreService::NewStub(server.channel())) {
    SetDeadline(context_);
    v1::ScoreRequest message;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(request, &message)) << request;
    reader_ = stub_->Score(&context_, message);
  }
  ~ScoreCall() {
    if (finished_) return;
    context_.TryCancel();
    Finish();
  }

  std::optional<v1::ScoreResponse> Read() {
    v1::ScoreResponse response;
    if (!reader_->Read(&response)) return std::nullopt;
    return response;
  }
  void Disconnect() { context_.TryCancel(); }
  // Reads to the end.
  grpc::Status Finish() {
    while (const auto response = Read()) {
      if (response->has_done()) done_.push_back(response->done());
      for (const auto& at : response->scores().logprobs()) logprobs_.push_back(at);
    }
    finished_ = true;
    return reader_->Finish();
  }

  // What Finish has read.
  const std::vector<v1::TokenLogprobs>& logprobs() const { return logprobs_; }
  const std::vector<v1::ScoreDone>& done() const { return done_; }
  std::string Text() const {
    std::string text;
    for (const auto& at : logprobs_) text += at.chosen().token_bytes();
    return text;
  }

 private:
  const std::unique_ptr<v1::ScoreService::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<v1::ScoreResponse>> reader_;
  std::vector<v1::TokenLogprobs> logprobs_;
  std::vector<v1::ScoreDone> done_;
  bool finished_ = false;
};

std::string TextOf(size_t tokens) { return absl::StrCat("text: '", std::string(tokens, 'x'), "'"); }

void AwaitNoSession(ChatServer& server) {
  server.observer().Await([](const PoolStats& pool, int) { return pool.sessions == 0; });
}

std::string FieldOf(const grpc::Status& status) {
  google::rpc::Status rpc;
  google::rpc::BadRequest bad_request;
  if (!rpc.ParseFromString(status.error_details()) || rpc.details().empty() ||
      !rpc.details(0).UnpackTo(&bad_request)) {
    return "";
  }
  return bad_request.field_violations(0).field();
}

TEST(Score, TellsEveryTokenButTheFirstAndThenTheEnd) {
  ChatServer server;
  ScoreCall call(server, "text: 'a text that is read whole' scoring { top_logprobs: 2 }");
  const auto first = call.Read();
  ASSERT_TRUE(first.has_value() && first->has_scores());
  EXPECT_EQ(first->scores().position(), 1);
  EXPECT_EQ(first->scores().request_id(), 0);
  EXPECT_EQ(first->scores().logprobs(0).top_size(), 2);
  std::string text;
  for (const auto& at : first->scores().logprobs()) text += at.chosen().token_bytes();
  ASSERT_TRUE(call.Finish().ok());
  EXPECT_EQ(text + call.Text(), " text that is read whole");
  ASSERT_EQ(call.done().size(), 1);
  EXPECT_EQ(call.done()[0].usage().prompt_tokens(), 24);
  EXPECT_TRUE(call.done()[0].timings().has_total());
}

TEST(Score, TakesTokenIdsAndGivesDistributions) {
  ChatServer server;
  ScoreCall call(server,
                 "token_ids { ids: 97 ids: 98 ids: 257 } sinks: 1 window: 1 "
                 "scoring { distributions: true skip_tokens: 2 }");
  const auto scores = call.Read();
  ASSERT_TRUE(scores.has_value() && scores->has_scores());
  EXPECT_EQ(scores->scores().position(), 2);
  ASSERT_EQ(scores->scores().logprobs_size(), 1);
  EXPECT_EQ(scores->scores().logprobs(0).chosen().token_id(), kEndToken);
  ASSERT_EQ(scores->scores().distributions_size(), 1);
  const std::string& bytes = scores->scores().distributions(0);
  ASSERT_EQ(bytes.size(), kFakeVocabSize * sizeof(float));
  std::vector<float> row(kFakeVocabSize);
  std::memcpy(row.data(), bytes.data(), bytes.size());
  EXPECT_EQ(row[kEndToken], scores->scores().logprobs(0).chosen().logprob());
  EXPECT_TRUE(call.Finish().ok());
}

TEST(Score, OfOneTokenTellsTheEndAlone) {
  ChatServer server;
  ScoreCall call(server, "text: 'a'");
  EXPECT_TRUE(call.Finish().ok());
  EXPECT_TRUE(call.logprobs().empty());
  EXPECT_EQ(call.done().size(), 1);
}

TEST(Score, LeavesNoSession) {
  ChatServer server;
  ASSERT_TRUE(ScoreCall(server, "text: 'some text'").Finish().ok());
  AwaitNoSession(server);
}

TEST(Score, OfAClientThatGoesStopsAndLeavesNoSession) {
  ChatServer server;
  ScoreCall call(server, TextOf(100'000));
  ASSERT_TRUE(call.Read().has_value());
  call.Disconnect();
  EXPECT_EQ(call.Finish().error_code(), StatusCode::CANCELLED);
  AwaitNoSession(server);
}

TEST(Score, ASlowReaderPausesItAloneAndHearsAll) {
  ChatServer server;
  ScoreCall slow(server, TextOf(20'000) + " scoring { top_logprobs: 20 }");
  server.observer().Await([](const PoolStats&, int pauses) { return pauses > 0; });
  Conversation chat(server);
  chat.Open();
  EXPECT_EQ(chat.Ask("turn { text: 'hi' }").text, "hello");
  ASSERT_TRUE(slow.Finish().ok());
  EXPECT_EQ(slow.logprobs().size(), 19'999);
}

struct Refused {
  std::string request;
  std::string field;
  std::string message;
};

TEST(Score, RefusesBadFieldsByTheirNames) {
  ChatServer server;
  for (const Refused& bad : {
           Refused{"", "input", "input: is not set: text or token_ids"},
           {"text: ''", "text", "text: is empty"},
           {"token_ids {}", "token_ids.ids", "token_ids.ids: is empty"},
           {"token_ids { ids: 259 }", "token_ids.ids[0]",
            "token_ids.ids[0]: is 259; must be in [0, 259)"},
           {"text: 'a' sinks: -1", "sinks", "sinks: is -1; must be at least 0"},
           {"text: 'a' window: 0", "window", "window: is 0; must be at least 1"},
           {"text: 'a' scoring { top_logprobs: 21 }", "scoring.top_logprobs",
            "scoring.top_logprobs: is 21; must be in [0, 20]"},
           {"text: 'a' scoring { skip_tokens: -1 }", "scoring.skip_tokens",
            "scoring.skip_tokens: is -1; must be at least 0"},
           {TextOf(66) + " scoring { distributions: true }", "scoring.distributions",
            "scoring.distributions: of 65 scored tokens; of at most 64 in a request"},
       }) {
    const grpc::Status status = ScoreCall(server, bad.request).Finish();
    EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT) << bad.request;
    EXPECT_EQ(status.error_message(), bad.message);
    EXPECT_EQ(FieldOf(status), bad.field);
  }
}

TEST(Score, RefusesMoreTokensThanARequestMayHave) {
  ChatServerOptions options = SmallSessions();
  options.engine.limits.max_request_tokens = 10;
  ChatServer server(std::move(options));
  const grpc::Status status = ScoreCall(server, "text: 'eleven char'").Finish();
  EXPECT_EQ(status.error_message(), "text: is 11 tokens long; at most 10 (max_request_tokens)");
}

TEST(Score, RefusesTextThatIsNotUtf8) {
  ChatServer server;
  RawCall call(server, "/sinkstream.v1.ScoreService/Score");
  call.Write(std::string("\x0a\x01\xff", 3));
  EXPECT_EQ(call.Read(), "");
  const grpc::Status status = call.Finish();
  EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(FieldOf(status), "text");
}

TEST(Score, WithoutASlotIsToldWhenToTryAgain) {
  ChatServerOptions options = SmallSessions();
  options.engine.limits.max_sessions = 1;
  ChatServer server(std::move(options));
  Conversation chat(server);
  chat.Open();
  const grpc::Status status = ScoreCall(server, "text: 'some text'").Finish();
  EXPECT_EQ(status.error_code(), StatusCode::RESOURCE_EXHAUSTED);
  google::rpc::Status rpc;
  google::rpc::RetryInfo retry;
  ASSERT_TRUE(rpc.ParseFromString(status.error_details()));
  EXPECT_TRUE(rpc.details(0).UnpackTo(&retry));
}

TEST(Score, OfLogitsThatAreNoNumbersEndsWithInternal) {
  ChatServer server;
  server.model().GiveNaNNextStep();
  const grpc::Status status = ScoreCall(server, "text: 'some text'").Finish();
  EXPECT_EQ(status.error_code(), StatusCode::INTERNAL);
  EXPECT_EQ(status.error_message(), "internal error");
  AwaitNoSession(server);
}

TEST(Score, IsEndedByAServerThatStops) {
  ChatServer server;
  server.gate().Close();
  ScoreCall running(server, "text: 'some text'");
  server.gate().AwaitArrival();
  server.activity().Hurry();
  std::thread stopping([&] { server.lifecycle().Drain(absl::InfiniteDuration()); });
  EXPECT_EQ(running.Finish().error_code(), StatusCode::UNAVAILABLE);
  server.gate().Open();
  stopping.join();
}

// ---- appends ----

TEST(ScoredAppend, TellsItsScoresBeforeItsEnd) {
  ChatServer server;
  Conversation chat(server);
  chat.Open();
  chat.Send("append { request_id: 5 text: 'one two' scoring { top_logprobs: 1 } }");
  const auto scores = chat.Read();
  ASSERT_TRUE(scores.has_value() && scores->has_scores());
  EXPECT_EQ(scores->scores().request_id(), 5);
  EXPECT_EQ(scores->scores().position(), 1);
  ASSERT_EQ(scores->scores().logprobs_size(), 2);  // " two" is held
  EXPECT_EQ(scores->scores().logprobs(1).chosen().token_bytes(), "e");
  EXPECT_EQ(scores->scores().logprobs(1).top_size(), 1);
  EXPECT_EQ(chat.ReadAnswer().appended->held_bytes(), 4);
}

TEST(ScoredAppend, OutOfRangeFailsInBandAndTheSessionGoesOn) {
  ChatServer server;
  Conversation chat(server);
  chat.Open();
  const Answer refused =
      chat.Ask("append { request_id: 2 text: 'a b' scoring { top_logprobs: 21 } }");
  ASSERT_TRUE(refused.failed.has_value());
  EXPECT_EQ(refused.failed->status().message(),
            "append.scoring.top_logprobs: is 21; must be in [0, 20]");
  EXPECT_EQ(chat.Ask("turn { text: 'hi' }").text, "hello");
}

// ---- the load ----

TEST(Load, TellsMemoryAndSessions) {
  ChatServer server;
  Conversation chat(server);
  const int64_t kv_bytes = chat.Open().kv_bytes();
  v1::GetLoadResponse load;
  grpc::ClientContext context;
  SetDeadline(context);
  ASSERT_TRUE(server.stub().GetLoad(&context, {}, &load).ok());
  EXPECT_GT(load.resident_bytes(), 1 << 20);
  EXPECT_EQ(load.kv_bytes(), int64_t{4096} * 400);
  server.observer().Await([](const PoolStats& pool, int) { return pool.sessions == 1; });
  grpc::ClientContext again;
  SetDeadline(again);
  ASSERT_TRUE(server.stub().GetLoad(&again, {}, &load).ok());
  EXPECT_EQ(load.sessions(), 1);
  EXPECT_EQ(load.attached_sessions(), 1);
  EXPECT_EQ(load.kv_bytes_reserved(), kv_bytes);
}

}  // namespace
}  // namespace sinkstream
