#include "server/start_facts.h"

#include <gtest/gtest.h>

#include "engine/observer.h"
#include "server/version.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/fake_model.h"

namespace sinkstream {
namespace {

TEST(StartFacts, CountsTheSessionsThatTheMemoryHolds) {
  FakeModel::Options model;
  model.block_tokens = 4;
  model.num_blocks = 100;  // of 400 bytes
  EngineOptions options;
  options.defaults.sinks = 4;
  options.defaults.window = 29;  // 1 pinned block and at most 9 others
  options.limits.step_tokens = 8;
  options.limits.max_prefills_per_step = 1;
  EngineObserver observer;
  const FakeClock clock;
  const auto engine =
      Engine::Create(options, std::make_unique<FakeModel>(model), std::make_unique<FakeTokenizer>(),
                     FakeChatFormat(), observer, clock);
  ASSERT_TRUE(engine.ok()) << engine.status();
  ASSERT_EQ((*engine)->SessionKvBytes(options.defaults), 10 * 400) << "as the comment says";
  const std::string facts = StartFacts(**engine, 3);
  EXPECT_EQ(facts, "sinkstream-server " + std::string(kServerVersion) +
                       "\n"
                       "model: fake (fake), weights float32\n"
                       "compute: portable, threads: 3\n"
                       "KV: float32, 0.0 MiB, holds 9 sessions of 4 sinks + 29 tokens, 0.0 MiB "
                       "each\n");
}

}  // namespace
}  // namespace sinkstream
