// The engine with its thread, under ThreadSanitizer too: many clients at once, streams that vanish,
// a destructor in mid-reply.
#include "engine/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>
#include <random>
#include <thread>

#include "engine/errors.h"
#include "tests/engine/conversation.h"
#include "tests/fakes/fake_model.h"
#include "tests/fakes/fake_text.h"

namespace sinkstream {
namespace {

struct Running {
  explicit Running(FakeModel::Options model = {}, EngineOptions options = SmallOptions()) {
    auto fake = std::make_unique<FakeModel>(std::move(model));
    engine = Engine::Create(options, std::move(fake), std::make_unique<FakeTokenizer>(),
                            FakeChatFormat(), observer, clock)
                 .value();
  }
  EngineObserver observer;
  MonotonicClock clock;
  std::unique_ptr<Engine> engine;
};

// A client that blocks until what it waits for has come.
class Client {
 public:
  explicit Client(Engine& engine)
      : engine_(engine), outbox_(std::make_shared<Outbox>(8, [this] {
          std::lock_guard lock(mutex_);
          ready_ = true;
          condition_.notify_one();
        })) {}
  ~Client() { outbox_->Detach(); }

  void Open(OpenRequest request = {}) {
    attachment_ = engine_.Open(std::move(request), outbox_).value();
  }
  // The tokens of the reply; empty if the stream ended first.
  std::vector<TokenId> Ask(std::vector<TokenId> prompt, int32_t max_tokens) {
    TurnRequest request;
    request.input = std::move(prompt);
    request.sampling.temperature = 0;
    request.sampling.max_tokens = max_tokens;
    EXPECT_TRUE(engine_.Turn(attachment_, std::move(request)).ok());
    std::vector<TokenId> tokens;
    while (!closed_) {
      for (const auto& event : Next()) {
        if (const auto* delta = std::get_if<Delta>(&event)) {
          tokens.insert(tokens.end(), delta->tokens.begin(), delta->tokens.end());
        }
        if (std::holds_alternative<TurnDone>(event)) return tokens;
      }
    }
    return {};
  }
  absl::Status WaitForEnd() {
    while (!closed_) Next();
    return *closed_;
  }
  SessionId WaitForOpened() {
    while (!closed_) {
      for (const auto& event : Next()) {
        if (const auto* opened = std::get_if<Opened>(&event)) return opened->id;
      }
    }
    return "";
  }
  void Vanish() {
    outbox_->Detach();
    engine_.Detach(attachment_);
  }
  AttachmentId attachment() const { return attachment_; }

 private:
  std::vector<Event> Next() {
    for (;;) {
      auto batch = outbox_->TakeAll();
      closed_ = batch.closed;
      if (!batch.events.empty() || closed_) return std::move(batch.events);
      std::unique_lock lock(mutex_);
      condition_.wait(lock, [this] { return ready_; });
      ready_ = false;
    }
  }

  Engine& engine_;
  std::mutex mutex_;
  std::condition_variable condition_;
  bool ready_ = false;
  std::shared_ptr<Outbox> outbox_;
  AttachmentId attachment_ = 0;
  std::optional<absl::Status> closed_;
};

TEST(EngineTest, ClientsOnManyThreadsEachGetTheirOwnReply) {
  Running running;
  std::vector<TokenId> expected;
  {
    Client alone(*running.engine);
    alone.Open();
    expected = alone.Ask({'a', 'b', 'c'}, 40);
    running.engine->Close(alone.attachment()).IgnoreError();
  }
  EXPECT_EQ(expected.size(), 40);
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      for (int turn = 0; turn < 5; ++turn) {
        Client client(*running.engine);
        client.Open();
        EXPECT_EQ(client.Ask({'a', 'b', 'c'}, 40), expected);
        EXPECT_TRUE(running.engine->Close(client.attachment()).ok());
        EXPECT_TRUE(client.WaitForEnd().ok());
      }
    });
  }
  for (auto& thread : threads) thread.join();
}

TEST(EngineTest, StreamsThatVanishAtAnyMomentLeaveRoomForOthers) {
  Running running;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      std::minstd_rand random(static_cast<unsigned>(i));
      for (int round = 0; round < 50; ++round) {
        Client client(*running.engine);
        OpenRequest request;
        request.idle_timeout = absl::ZeroDuration();
        client.Open(request);
        TurnRequest turn;
        turn.input = std::vector<TokenId>(60, 'x');
        running.engine->Turn(client.attachment(), std::move(turn)).IgnoreError();
        for (unsigned spin = random() % 64; spin > 0; --spin) std::this_thread::yield();
        client.Vanish();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  // The pool holds 11 such sessions: had one been lost a round, this would be refused.
  Client last(*running.engine);
  last.Open();
  EXPECT_EQ(last.Ask({'a'}, 5).size(), 5);
}

TEST(EngineTest, TheDestructorEndsStreamsInMidReply) {
  auto running = std::make_unique<Running>();
  Client client(*running->engine);
  client.Open();
  EXPECT_FALSE(client.WaitForOpened().empty());
  TurnRequest turn;
  turn.input = std::vector<TokenId>{'a'};
  turn.sampling.max_tokens = 16384;
  turn.sampling.ignore_end_of_turn = true;
  EXPECT_TRUE(running->engine->Turn(client.attachment(), std::move(turn)).ok());
  running->engine.reset();
  EXPECT_EQ(client.WaitForEnd().code(), absl::StatusCode::kUnavailable);
}

TEST(EngineTest, AFullInboxRefusesWithRetryInfo) {
  std::mutex gate;
  auto options = SmallOptions();
  options.limits.inbox_capacity = 4;
  auto fake = std::make_unique<FakeModel>(FakeModel::Options());
  std::atomic<bool> stepping{false};
  fake->on_step = [&] {
    stepping = true;
    stepping.notify_one();
    std::lock_guard lock(gate);
  };
  EngineObserver observer;
  MonotonicClock clock;
  auto engine = Engine::Create(options, std::move(fake), std::make_unique<FakeTokenizer>(),
                               FakeChatFormat(), observer, clock)
                    .value();
  Client client(*engine);
  client.Open();
  {
    std::lock_guard hold(gate);
    TurnRequest turn;
    turn.input = std::vector<TokenId>{'a'};
    turn.sampling.max_tokens = 1;
    EXPECT_TRUE(engine->Turn(client.attachment(), turn).ok());
    stepping.wait(false);
    for (int i = 0; i < 4; ++i) EXPECT_TRUE(engine->Cancel(client.attachment()).ok());
    const auto refused = engine->Cancel(client.attachment());
    EXPECT_EQ(ErrorReason(refused), "QUEUE_FULL");
    EXPECT_TRUE(ErrorRetryAfter(refused).has_value());
  }
}

TEST(EngineTest, OptionsThatContradictTheModelAreRefusedByName) {
  const auto fault = [](EngineOptions options) {
    EngineObserver observer;
    MonotonicClock clock;
    const auto engine =
        Engine::Create(options, std::make_unique<FakeModel>(FakeModel::Options()),
                       std::make_unique<FakeTokenizer>(), FakeChatFormat(), observer, clock);
    return ErrorField(engine.status()).value_or("");
  };
  EXPECT_EQ(fault(SmallOptions()), "");
  auto options = SmallOptions();
  options.defaults.window = 4093;
  EXPECT_EQ(fault(options), "window");
  options.defaults.window = 300;
  EXPECT_EQ(fault(options), "kv_bytes");
  options = SmallOptions();
  options.defaults.sinks = -1;
  EXPECT_EQ(fault(options), "sinks");
  options = SmallOptions();
  options.limits.max_sessions = 0;
  EXPECT_EQ(fault(options), "max_sessions");
  options = SmallOptions();
  options.limits.step_tokens = 0;
  EXPECT_EQ(fault(options), "step_tokens");
  options = SmallOptions();
  options.defaults.sampling.top_p = -1;
  EXPECT_EQ(fault(options), "sampling.top_p");
}

}  // namespace
}  // namespace sinkstream
