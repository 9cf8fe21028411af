// The Converse rpc over the wire: what a stream, a session and its turns do to each other.
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "tests/server/chat_server.h"

namespace sinkstream {
namespace {

// Talks until max_tokens.
ChatServerOptions Talkative() {
  ChatServerOptions options = SmallSessions();
  options.model.next = HashOfVisible;
  options.engine.limits.max_tokens = 1 << 20;
  return options;
}

TEST(Conversation, AnswersATurn) {
  ChatServer server;
  Conversation chat(server);
  const v1::Opened opened = chat.Open();
  EXPECT_EQ(opened.session_id().size(), 32u);
  EXPECT_FALSE(opened.resumed());
  EXPECT_EQ(opened.sinks(), 2);
  EXPECT_EQ(opened.window(), 64);
  EXPECT_EQ(opened.limits().max_sessions(), 256);
  const Answer answer = chat.Ask("turn { request_id: 5 text: 'hi' }");
  EXPECT_EQ(answer.text, "hello");
  ASSERT_TRUE(answer.done.has_value());
  EXPECT_EQ(answer.done->request_id(), 5u);
  EXPECT_EQ(answer.done->finish_reason(), v1::FINISH_REASON_END_OF_TURN);
  EXPECT_EQ(answer.done->usage().generated_tokens(), 6);
}

TEST(Conversation, SendsInitialMetadataBeforeAnything) {
  ChatServer server;
  Conversation chat(server);
  chat.AwaitInitialMetadata();
  chat.HalfClose();
  EXPECT_EQ(chat.Finish().error_code(), grpc::StatusCode::FAILED_PRECONDITION);
}

TEST(Conversation, TakesManyTurns) {
  ChatServer server;
  Conversation chat(server);
  chat.Open();
  for (uint64_t i = 1; i <= 10; ++i) {
    const Answer answer = chat.Ask("turn { request_id: " + std::to_string(i) + " text: 'again' }");
    ASSERT_TRUE(answer.done.has_value());
    EXPECT_EQ(answer.done->request_id(), i);
    EXPECT_EQ(answer.text, "hello");
  }
}

TEST(Conversation, CloseForgetsTheSession) {
  ChatServer server;
  Conversation chat(server);
  const std::string id = chat.Open().session_id();
  chat.Send("close {}");
  EXPECT_TRUE(chat.Finish().ok());
  Conversation again(server);
  again.Send("open { session_id: '" + id + "' }");
  EXPECT_EQ(again.Finish().error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST(Conversation, AHalfCloseMidReplyLetsTheReplyEnd) {
  ChatServer server;
  Conversation chat(server);
  const std::string id = chat.Open().session_id();
  server.gate().Close();
  chat.Send("turn { text: 'hi' }");
  chat.HalfClose();
  server.gate().AwaitArrival();
  server.gate().Open();
  EXPECT_EQ(chat.ReadAnswer().text, "hello");
  EXPECT_TRUE(chat.Finish().ok());
  Conversation again(server);
  EXPECT_TRUE(again.Open("session_id: '" + id + "'").resumed());
}

TEST(Conversation, CancelEndsTheReplyAndTheSessionGoesOn) {
  ChatServer server(Talkative());
  Conversation chat(server);
  chat.Open();
  chat.Send("turn { request_id: 1 text: 'talk' sampling { max_tokens: 1000000 } }");
  EXPECT_TRUE(chat.Read()->has_delta());
  chat.Send("cancel {}");
  const Answer cancelled = chat.ReadAnswer();
  ASSERT_TRUE(cancelled.done.has_value());
  EXPECT_EQ(cancelled.done->finish_reason(), v1::FINISH_REASON_CANCELLED);
  const Answer next = chat.Ask("turn { request_id: 2 text: 'more' sampling { max_tokens: 3 } }");
  ASSERT_TRUE(next.done.has_value());
  EXPECT_EQ(next.tokens.size(), 3u);
}

TEST(Conversation, ReattachingSaysTheSameAsStaying) {
  ChatServer server(Talkative());
  const std::string turn = "turn { text: 'next' sampling { max_tokens: 20 } }";
  Conversation stayed(server);
  stayed.Open();
  stayed.Ask(turn);
  const Answer expected = stayed.Ask(turn);
  std::string id;
  {
    Conversation left(server);
    id = left.Open().session_id();
    left.Ask(turn);
  }
  Conversation back(server);
  const v1::Opened opened = back.Open("session_id: '" + id + "'");
  EXPECT_TRUE(opened.resumed());
  EXPECT_GT(opened.position(), 20);
  EXPECT_EQ(back.Ask(turn).tokens, expected.tokens);
}

TEST(Conversation, ASecondAttachTakesOverAndTheFirstIsAborted) {
  ChatServer server;
  Conversation first(server);
  const std::string id = first.Open().session_id();
  Conversation second(server);
  EXPECT_TRUE(second.Open("session_id: '" + id + "'").resumed());
  EXPECT_EQ(first.Finish().error_code(), grpc::StatusCode::ABORTED);
  EXPECT_EQ(second.Ask("turn { text: 'hi' }").text, "hello");
}

TEST(Conversation, AppendsAreOneTextHoweverTheyAreSplit) {
  ChatServer server(Talkative());
  const std::string turn = "turn { raw_text: ' so' sampling { max_tokens: 20 } }";
  Conversation whole(server);
  whole.Open();
  EXPECT_TRUE(whole.Ask("append { text: 'once upon a time' }").appended.has_value());
  Conversation split(server);
  split.Open();
  for (const char* part : {"once up", "on", " a t", "ime"}) {
    const Answer appended = split.Ask("append { text: '" + std::string(part) + "' }");
    ASSERT_TRUE(appended.appended.has_value());
  }
  EXPECT_EQ(split.Ask(turn).tokens, whole.Ask(turn).tokens);
}

TEST(Conversation, PrefillProgressIsToldOfALongPrompt) {
  ChatServer server;
  Conversation chat(server);
  chat.Open();
  chat.Send("turn { request_id: 9 text: '" + std::string(200, 'x') + "' }");
  const auto response = chat.Read();
  ASSERT_TRUE(response.has_value());
  ASSERT_TRUE(response->has_prefill_progress());
  EXPECT_EQ(response->prefill_progress().request_id(), 9u);
  EXPECT_GT(response->prefill_progress().total_tokens(), 200);
}

TEST(Conversation, LogprobsComeWithTheBytesOfTheirTokens) {
  ChatServer server;
  Conversation chat(server);
  chat.Open();
  chat.Send("turn { text: 'hi' sampling { top_logprobs: 2 } }");
  const auto response = chat.Read();
  ASSERT_TRUE(response.has_value() && response->has_delta());
  const v1::TokenLogprobs& first = response->delta().logprobs(0);
  EXPECT_EQ(first.chosen().token_bytes(), "h");
  EXPECT_LE(first.chosen().logprob(), 0.0f);
  ASSERT_EQ(first.top_size(), 2);
  EXPECT_EQ(first.top(0).token_id(), 'h');
}

// One session alone fits into the pool: whoever comes next sees whether its blocks are back.
ChatServerOptions RoomForOne() {
  ChatServerOptions options = Talkative();
  options.engine.limits.max_sessions = 1;
  options.engine.defaults.idle_timeout = absl::ZeroDuration();
  return options;
}

TEST(Conversation, BlocksReturnWhenTheClientIsGoneMidDecode) {
  ChatServer server(RoomForOne());
  for (int i = 0; i < 3; ++i) {
    Conversation chat(server);
    chat.Open();
    chat.Send("turn { text: 'talk' sampling { max_tokens: 1000000 } }");
    EXPECT_TRUE(chat.Read()->has_delta());
    chat.Disconnect();
    EXPECT_EQ(chat.Finish().error_code(), grpc::StatusCode::CANCELLED);
    server.observer().Await(
        [](const PoolStats& pool, int) { return pool.sessions == 0 && pool.blocks_used == 0; });
  }
}

TEST(Conversation, BlocksReturnWhenTheClientIsGoneMidPrefill) {
  ChatServer server(RoomForOne());
  Conversation chat(server);
  chat.Open();
  server.gate().Close();
  chat.Send("append { text: '" + std::string(100000, 'x') + "' }");
  server.gate().AwaitArrival();
  chat.Disconnect();
  EXPECT_EQ(chat.Finish().error_code(), grpc::StatusCode::CANCELLED);
  v1::GetModelResponse model;
  grpc::ClientContext context;
  EXPECT_TRUE(server.stub().GetModel(&context, {}, &model).ok()) << "comes after the cancel";
  server.gate().Open();
  server.observer().Await(
      [](const PoolStats& pool, int) { return pool.sessions == 0 && pool.blocks_used == 0; });
  EXPECT_LT(server.model().steps(), 1000) << "of 3125 that the text takes";
  Conversation next(server);
  next.Open();
}

TEST(Conversation, ASlowReaderPausesOnlyItself) {
  constexpr size_t kTokens = 20000;
  ChatServer server(Talkative());
  Conversation slow(server);
  slow.Open();
  slow.Send("turn { text: 'talk' sampling { top_logprobs: 20 max_tokens: " +
            std::to_string(kTokens) + " } }");
  server.observer().Await([](const PoolStats&, int pauses) { return pauses > 0; });
  Conversation quick(server);
  quick.Open();
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(quick.Ask("turn { text: 'x' sampling { max_tokens: 50 } }").tokens.size(), 50u);
  }
  server.observer().Await([](const PoolStats& pool, int) { return pool.running_requests == 1; });
  const Answer late = slow.ReadAnswer();
  EXPECT_EQ(late.tokens.size(), kTokens);
  EXPECT_LT(late.deltas, static_cast<int>(kTokens)) << "deltas that waited were joined";
}

// Counts, and knows when the count stands still.
class Progress {
 public:
  void Add() {
    MutexLock lock(mutex_);
    ++count_;
    changed_.NotifyAll();
  }
  int AwaitStandstill() {
    MutexLock lock(mutex_);
    int seen = -1;
    while (seen != count_) {
      seen = count_;
      const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(500);
      while (seen == count_ && std::chrono::steady_clock::now() < deadline) {
        changed_.WaitUntil(mutex_, deadline);
      }
    }
    return seen;
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  int count_ ABSL_GUARDED_BY(mutex_) = 0;
};

TEST(Conversation, AClientThatAsksAndNeverReadsIsHeldBack) {
  ChatServerOptions options = SmallSessions();
  options.engine.limits.max_request_bytes = 1000;
  ChatServer server(options);
  Conversation chat(server);
  chat.Open();
  constexpr int kTurns = 5000;
  const std::string too_long = "turn { text: '" + std::string(16 << 10, 'x') + "' }";
  Progress written;
  std::thread writer([&] {
    for (int i = 0; i < kTurns; ++i) {
      chat.Send(too_long);
      written.Add();
    }
    chat.HalfClose();
  });
  // What the server takes without an answer, and what the buffers on the way hold.
  EXPECT_LT(written.AwaitStandstill(), kTurns / 2);
  int failures = 0;
  while (const auto response = chat.Read()) failures += response->has_failed() ? 1 : 0;
  writer.join();
  EXPECT_EQ(failures, kTurns);
  EXPECT_TRUE(chat.Finish().ok());
}

TEST(Conversation, ManyAtOnceEachSayTheirOwn) {
  ChatServer server(Talkative());
  constexpr int kClients = 12;
  const auto talk = [&server](int client) {
    Conversation chat(server);
    chat.Open("window: 16");
    std::string said;
    for (int turn = 0; turn < 3; ++turn) {
      said += chat.Ask("turn { text: 'I am " + std::to_string(client) +
                       "' sampling { max_tokens: 15 } }")
                  .text;
    }
    return said;
  };
  std::vector<std::string> together(kClients);
  std::vector<std::thread> threads;
  for (int i = 0; i < kClients; ++i) threads.emplace_back([&, i] { together[i] = talk(i); });
  for (std::thread& thread : threads) thread.join();
  for (int i = 0; i < kClients; ++i) EXPECT_EQ(together[i], talk(i)) << i;
}

}  // namespace
}  // namespace sinkstream
