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
  explicit Running(FakeModel::Options model = {}, EngineOptions options = SmallOptions(),
                   ChatFormat format = FakeChatFormat()) {
    auto fake = std::make_unique<FakeModel>(std::move(model));
    engine = Engine::Create(options, std::move(fake), std::make_unique<FakeTokenizer>(),
                            std::move(format), observer, clock)
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
  // How many tokens are told of with their distributions.
  size_t Score(std::vector<TokenId> tokens) {
    AppendRequest request;
    request.input = std::move(tokens);
    request.scoring = ScoringParams{.distributions = true};
    EXPECT_TRUE(engine_.Append(attachment_, std::move(request)).ok());
    size_t told = 0;
    while (!closed_) {
      for (const auto& event : Next()) {
        if (const auto* scores = std::get_if<Scores>(&event)) told += scores->distributions.size();
        if (std::holds_alternative<AppendDone>(event)) return told;
      }
    }
    return told;
  }
  absl::Status WaitForEnd() {
    while (!closed_) Next();
    return *closed_;
  }
  Opened WaitForOpened() {
    while (!closed_) {
      for (const auto& event : Next()) {
        if (const auto* opened = std::get_if<Opened>(&event)) return *opened;
      }
    }
    return {};
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

TEST(EngineTest, ASystemPromptIsRefusedWhereTheFormatHasNoSystemTurn) {
  ChatFormat format = FakeChatFormat();
  format.system.reset();
  Running running({}, SmallOptions(), std::move(format));
  const auto open = [&](const std::string& system_prompt) {
    OpenRequest request;
    request.system_prompt = system_prompt;
    return running.engine->Open(request, std::make_shared<Outbox>(8, [] {})).status();
  };
  EXPECT_EQ(open("be kind").code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ErrorField(open("be kind")), "open.system_prompt");
  EXPECT_TRUE(open("").ok()) << "nothing to say";
}

TEST(EngineTest, ASystemPromptOfTooManyTokensIsRefusedByName) {
  EngineOptions options = SmallOptions();
  options.limits.max_request_tokens = 10;
  Running running({}, options);
  const auto open = [&](const std::string& system_prompt) {
    OpenRequest request;
    request.system_prompt = system_prompt;
    return running.engine->Open(request, std::make_shared<Outbox>(8, [] {})).status();
  };
  const auto refused = open("be kind and brief");
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ErrorField(refused), "open.system_prompt");
  EXPECT_THAT(std::string(refused.message()),
              testing::HasSubstr("at most 10 (max_request_tokens)"));
  EXPECT_TRUE(open("be").ok());
}

TEST(EngineTest, ReadersOnManyThreadsGiveTheRoomOfTheirDistributionsBack) {
  EngineOptions options = SmallOptions();
  options.limits.distribution_bytes = 10 * kFakeVocabSize * static_cast<int64_t>(sizeof(float));
  Running running({}, options);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&running, i] {
      Client client(*running.engine);
      client.Open();
      EXPECT_EQ(client.Score(Numbers(60, i)), 59);
      EXPECT_EQ(client.Score(Numbers(60, i)), 60);
      running.engine->Close(client.attachment());
    });
  }
  for (auto& thread : threads) thread.join();
}

TEST(EngineTest, ClientsOnManyThreadsEachGetTheirOwnReply) {
  Running running;
  std::vector<TokenId> expected;
  {
    Client alone(*running.engine);
    alone.Open();
    expected = alone.Ask({'a', 'b', 'c'}, 40);
    running.engine->Close(alone.attachment());
  }
  EXPECT_EQ(expected.size(), 40);
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      for (int turn = 0; turn < 5; ++turn) {
        Client client(*running.engine);
        client.Open();
        EXPECT_EQ(client.Ask({'a', 'b', 'c'}, 40), expected);
        running.engine->Close(client.attachment());
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
  EXPECT_FALSE(client.WaitForOpened().id.empty());
  TurnRequest turn;
  turn.input = std::vector<TokenId>{'a'};
  turn.sampling.max_tokens = 16384;
  turn.sampling.ignore_end_of_turn = true;
  EXPECT_TRUE(running->engine->Turn(client.attachment(), std::move(turn)).ok());
  running->engine.reset();
  EXPECT_EQ(client.WaitForEnd().code(), absl::StatusCode::kUnavailable);
}

// An engine whose model stands still until the test lets it go.
class StandingEngine {
 public:
  StandingEngine() {
    auto fake = std::make_unique<FakeModel>(FakeModel::Options());
    fake->on_step = [this] {
      stepping_ = true;
      stepping_.notify_one();
      std::lock_guard lock(gate_);
    };
    auto options = SmallOptions();
    options.limits.inbox = {.commands = 12, .owner_commands = 4, .bytes = 1000};
    engine_ = Engine::Create(options, std::move(fake), std::make_unique<FakeTokenizer>(),
                             FakeChatFormat(), observer_, clock_)
                  .value();
  }
  Engine& engine() { return *engine_; }
  // Asks for a reply and returns once the model works on it.
  std::unique_lock<std::mutex> StandStill(Client& client) {
    std::unique_lock hold(gate_);
    EXPECT_TRUE(engine_->Turn(client.attachment(), Tokens(1)).ok());
    stepping_.wait(false);
    return hold;
  }
  static TurnRequest Tokens(size_t count) {
    TurnRequest turn;
    turn.input = std::vector<TokenId>(count, 'a');
    turn.sampling.max_tokens = 1;
    return turn;
  }

 private:
  std::mutex gate_;
  std::atomic<bool> stepping_{false};
  EngineObserver observer_;
  MonotonicClock clock_;
  std::unique_ptr<Engine> engine_;
};

TEST(EngineTest, AStreamThatSendsTooMuchIsRefusedAndNoOtherNotices) {
  StandingEngine standing;
  Engine& engine = standing.engine();
  Client greedy(engine), modest(engine);
  greedy.Open();
  modest.Open();
  const auto hold = standing.StandStill(greedy);
  for (int i = 0; i < 4; ++i)
    EXPECT_TRUE(engine.Turn(greedy.attachment(), standing.Tokens(1)).ok());
  const auto refused = engine.Turn(greedy.attachment(), standing.Tokens(1));
  EXPECT_EQ(ErrorRefusal(refused), Refusal::kQueueFull);
  EXPECT_TRUE(ErrorRetryAfter(refused).has_value());
  for (int i = 0; i < 1000; ++i) {
    engine.Cancel(greedy.attachment());
    engine.Close(greedy.attachment());
  }
  EXPECT_TRUE(engine.Turn(modest.attachment(), standing.Tokens(1)).ok());
}

TEST(EngineTest, CloseIsNeverRefused) {
  StandingEngine standing;
  Client client(standing.engine());
  client.Open();
  {
    const auto hold = standing.StandStill(client);
    while (standing.engine().Turn(client.attachment(), standing.Tokens(1)).ok()) {
    }
    standing.engine().Cancel(client.attachment());
    standing.engine().Close(client.attachment());
  }
  EXPECT_TRUE(client.WaitForEnd().ok());
}

TEST(EngineTest, ListsOfStopsAreBoundedBeforeTheyWait) {
  StandingEngine standing;
  Client client(standing.engine());
  client.Open();
  TurnRequest turn = standing.Tokens(1);
  turn.sampling.stop_strings.resize(100'000);
  EXPECT_EQ(ErrorField(standing.engine().Turn(client.attachment(), turn)),
            "turn.sampling.stop_strings");
  turn.sampling.stop_strings = {std::string(257, 'x')};
  EXPECT_EQ(ErrorField(standing.engine().Turn(client.attachment(), turn)),
            "turn.sampling.stop_strings");
  OpenRequest open;
  open.sampling.stop_tokens.resize(65);
  const auto opened = standing.engine().Open(open, std::make_shared<Outbox>(8, [] {}));
  EXPECT_EQ(ErrorField(opened.status()), "open.sampling.stop_tokens");
}

TEST(EngineTest, TheBytesThatWaitAreBounded) {
  StandingEngine standing;
  Client first(standing.engine()), second(standing.engine());
  first.Open();
  second.Open();
  const auto hold = standing.StandStill(first);
  EXPECT_TRUE(standing.engine().Turn(first.attachment(), standing.Tokens(200)).ok());
  EXPECT_EQ(ErrorRefusal(standing.engine().Turn(second.attachment(), standing.Tokens(200))),
            Refusal::kQueueFull);
  TurnRequest stops = standing.Tokens(1);
  stops.sampling.stop_strings.assign(4, std::string(100, 'x'));
  EXPECT_EQ(ErrorRefusal(standing.engine().Turn(second.attachment(), stops)), Refusal::kQueueFull);
  EXPECT_TRUE(standing.engine().Turn(second.attachment(), standing.Tokens(10)).ok());
}

// The observer hears of a session that time alone has ended.
TEST(EngineTest, ThePoolIsReportedAtTheStartAndWhenASessionHasExpired) {
  struct Observer : EngineObserver {
    void OnPool(const PoolStats& stats) override {
      std::lock_guard lock(mutex);
      latest = stats;
      changed.notify_one();
    }
    void Await(int32_t sessions) {
      std::unique_lock lock(mutex);
      changed.wait(lock, [&] { return latest && latest->sessions == sessions; });
    }
    std::mutex mutex;
    std::condition_variable changed;
    std::optional<PoolStats> latest;
  } observer;
  MonotonicClock clock;
  const auto engine =
      Engine::Create(SmallOptions(), std::make_unique<FakeModel>(FakeModel::Options()),
                     std::make_unique<FakeTokenizer>(), FakeChatFormat(), observer, clock)
          .value();
  observer.Await(0);
  Client client(*engine);
  OpenRequest request;
  request.idle_timeout = absl::Milliseconds(1);
  client.Open(request);
  observer.Await(1);
  client.Vanish();
  observer.Await(0);
}

TEST(EngineTest, ATokenizerLargerThanTheModelIsRefused) {
  struct Smaller final : public FakeModel {
    Smaller() : FakeModel({}) { spec.vocab_size = kFakeVocabSize - 1; }
    const ModelSpec& Spec() const override { return spec; }
    ModelSpec spec = FakeModel::Spec();
  };
  EngineObserver observer;
  MonotonicClock clock;
  const auto engine =
      Engine::Create(SmallOptions(), std::make_unique<Smaller>(), std::make_unique<FakeTokenizer>(),
                     FakeChatFormat(), observer, clock);
  EXPECT_EQ(engine.status().message(),
            "the tokenizer knows ids up to 258, the model's vocabulary is 258");
}

TEST(EngineTest, ALimitOfTokensBelowTheDefaultIsTheDefault) {
  EngineOptions options = SmallOptions();
  options.limits.max_tokens = 7;
  EngineObserver observer;
  MonotonicClock clock;
  const auto engine =
      Engine::Create(options, std::make_unique<FakeModel>(FakeModel::Options()),
                     std::make_unique<FakeTokenizer>(), FakeChatFormat(), observer, clock);
  ASSERT_TRUE(engine.ok()) << engine.status();
  EXPECT_EQ((*engine)->Options().defaults.sampling.max_tokens, 7);
  Client client(**engine);
  client.Open();
  EXPECT_EQ(client.WaitForOpened().settings.sampling.max_tokens, 7);
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
