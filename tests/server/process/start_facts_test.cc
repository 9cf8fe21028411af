#include "server/process/start_facts.h"

#include <gtest/gtest.h>

#include <future>

#include "engine/observer.h"
#include "server/process/version.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/fake_model.h"

namespace sinkstream {
namespace {

// Opens sessions until one is refused; how many were not.
int SessionsThatFit(Engine& engine) {
  for (int sessions = 0;; ++sessions) {
    std::promise<void> ready;
    const auto outbox = std::make_shared<Outbox>(8, [&ready] { ready.set_value(); });
    EXPECT_TRUE(engine.Open(OpenRequest(), outbox).ok());
    ready.get_future().wait();
    const bool refused = outbox->TakeAll().closed.has_value();
    outbox->Detach();
    if (refused) return sessions;
  }
}

TEST(StartFacts, CountTheSessionsThatTheMemoryHolds) {
  FakeModel::Options model;
  model.block_tokens = 4;
  model.num_blocks = 10000;  // of 400 bytes
  EngineOptions options;
  options.defaults.sinks = 4;
  options.defaults.window = 1000;
  options.limits.step_tokens = 64;
  EngineObserver observer;
  const FakeClock clock;
  const auto engine =
      Engine::Create(options, std::make_unique<FakeModel>(model), std::make_unique<FakeTokenizer>(),
                     FakeChatFormat(), observer, clock);
  ASSERT_TRUE(engine.ok()) << engine.status();
  const std::string facts = StartFacts(**engine);
  EXPECT_EQ(facts, "sinkstream-server " + std::string(kServerVersion) +
                       "\nmodel: fake (fake), weights float32\n"
                       "compute: portable, threads: 1\n"
                       "KV: float32, 3.8 MiB, holds " +
                       std::to_string(SessionsThatFit(**engine)) +
                       " sessions of 4 sinks + 1000 tokens, 0.1 MiB each\n");
}

}  // namespace
}  // namespace sinkstream
