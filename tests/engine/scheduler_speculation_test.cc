// Guesses change how many tokens a step gives, and nothing else: every event of every session is
// the same without them. The fake model checks the slots of each row and says what it sees.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ostream>
#include <random>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "engine/scheduler.h"
#include "tests/engine/conversation.h"

namespace sinkstream {
namespace {

using testing::Contains;
using testing::Pair;
using testing::SizeIs;

EngineOptions Guessing(int32_t tokens) {
  EngineOptions options = SmallOptions();
  options.limits.speculative_tokens = tokens;
  return options;
}

FakeModel::Options Rambler() { return {.next = Rambling}; }

// As the former, but a few of its rows give no numbers.
TokenId RamblingWithFaults(const std::vector<TokenId>& visible) {
  const TokenId next = Rambling(visible);
  return next == 'c' && visible.front() % 3 == 0 ? kNoToken : next;
}

// Without what depends on how prompts are cut into chunks, and so on who else is served.
std::string WithoutWindows(const std::string& transcript) {
  std::vector<std::string> lines = absl::StrSplit(transcript, '\n');
  std::erase_if(lines, [](const auto& line) { return absl::StartsWith(line, "window"); });
  return absl::StrJoin(lines, "\n");
}

// A life of `sessions`, drawn from `seed` alone.
class Life {
 public:
  Life(unsigned seed, const EngineOptions& options, FakeModel::Options model)
      : random_(seed), talk_(std::move(model), options) {}

  // What each session was told.
  std::vector<std::string> Live(int sessions) {
    for (int i = 0; i < sessions; ++i) streams_.push_back(&talk_.OpenStream(Request()));
    for (int turn = 0; turn < 4; ++turn) {
      for (Stream* const stream : streams_) Speak(*stream);
      talk_.Run();
      for (Stream* const stream : streams_) stream->Read();
    }
    std::vector<std::string> told;
    for (Stream* const stream : streams_) told.push_back(stream->Read().transcript);
    return told;
  }

  Conversation& talk() { return talk_; }

 private:
  int Below(int bound) { return static_cast<int>(random_() % static_cast<unsigned>(bound)); }

  OpenRequest Request() {
    OpenRequest request = With(Below(7), 1 + Below(40));
    if (Below(3) == 0) request.system_prompt = "be kind and brief";
    return request;
  }

  SamplingOverrides Sampling() {
    SamplingOverrides sampling;
    sampling.temperature = 0.5 * Below(5);
    sampling.max_tokens = 1 + Below(60);
    sampling.seed = random_();
    if (Below(2) == 0) sampling.top_p = 0.9;
    if (Below(3) == 0) sampling.repetition_penalty = 1.3;
    if (Below(3) == 0) sampling.frequency_penalty = 0.4;
    if (Below(3) == 0) sampling.penalty_last_n = Below(30);
    if (Below(3) == 0) sampling.top_logprobs = Below(3);
    if (Below(3) == 0) sampling.stop_strings = {"ab", "dcea", "bbb"};
    if (Below(4) == 0) sampling.stop_tokens = {'a' + Below(5)};
    return sampling;
  }

  void Speak(Stream& stream) {
    std::string text;
    for (int i = Below(20); i >= 0; --i) text += static_cast<char>('a' + Below(4));
    switch (Below(4)) {
      case 0:
        stream.Score({text.begin(), text.end()});
        break;
      case 1:
        stream.Append(text + text);
        break;
      default:
        break;
    }
    stream.Say(text, Sampling());
  }

  std::minstd_rand random_;
  Conversation talk_;
  std::vector<Stream*> streams_;
};

class SpeculationTest : public testing::TestWithParam<unsigned> {};

TEST_P(SpeculationTest, EveryEventIsTheSameWithoutGuesses) {
  for (const NextToken next : {Rambling, RamblingWithFaults}) {
    Life plain(GetParam(), Guessing(0), {.next = next});
    const auto expected = plain.Live(1);
    for (const int32_t tokens : {1, 4, 9}) {
      Life life(GetParam(), Guessing(tokens), {.next = next});
      EXPECT_EQ(life.Live(1), expected) << tokens << " guesses";
      life.talk().scheduler().Shutdown(absl::UnavailableError("done"));
      EXPECT_EQ(life.talk().scheduler().Stats().blocks_used, 0);
    }
  }
}

TEST_P(SpeculationTest, EveryEventIsTheSameFromAModelThatTellsNoPeaks) {
  const auto expected = Life(GetParam(), Guessing(4), {.next = RamblingWithFaults}).Live(1);
  Life life(GetParam(), Guessing(4), {.next = RamblingWithFaults, .tells_peaks = false});
  EXPECT_EQ(life.Live(1), expected);
}

TEST_P(SpeculationTest, NeighboursThatGuessChangeNothing) {
  const auto plain = Life(GetParam(), Guessing(0), {.next = RamblingWithFaults}).Live(3);
  const auto told = Life(GetParam(), Guessing(4), {.next = RamblingWithFaults}).Live(3);
  for (size_t i = 0; i < plain.size(); ++i) {
    EXPECT_EQ(WithoutWindows(told[i]), WithoutWindows(plain[i]));
  }
}

TEST_P(SpeculationTest, ManyThreadsSampleTheSame) {
  const auto expected = Life(GetParam(), Guessing(4), Rambler()).Live(4);
  auto model = Rambler();
  model.threads = 3;
  EXPECT_EQ(Life(GetParam(), Guessing(4), model).Live(4), expected);
}

INSTANTIATE_TEST_SUITE_P(Seeds, SpeculationTest, testing::Range(1u, 101u));

TEST(SchedulerSpeculationTest, GuessesAreRejectedAndAcceptedAtEachPlace) {
  Conversation talk(Rambler(), Guessing(4));
  auto& alice = talk.OpenStream(With(4, 40));
  alice.Feed(Numbers(20, 1), Greedy(3000));
  for (int i = 0; i < 3000 && talk.Run(1) > 0; ++i) alice.Read();
  std::set<std::pair<int32_t, int32_t>> seen;
  for (const auto& step : talk.observer().steps) {
    seen.emplace(step.guessed_tokens, step.accepted_guesses);
    EXPECT_EQ(step.decode_rows, step.prefill_rows > 0 ? 0 : 1 + step.guessed_tokens);
  }
  for (int32_t accepted = 0; accepted <= 4; ++accepted) {
    EXPECT_THAT(seen, Contains(Pair(4, accepted)));
  }
  EXPECT_EQ(alice.Read().tokens, ReplyByDefinition(Numbers(20, 1), 4, 40, 3000, Rambling));
}

TEST(SchedulerSpeculationTest, ATextThatRepeatsTakesFewSteps) {
  Conversation talk({.next =
                         [](const std::vector<TokenId>& visible) {
                           return 'a' + (visible.back() - 'a' + 1) % 3;
                         }},
                    Guessing(4));
  auto& alice = talk.OpenStream(With(4, 200));
  alice.Feed({'a'}, Greedy(200));
  int steps = 0;
  for (; talk.Run(1) > 0; ++steps) alice.Read();
  EXPECT_THAT(alice.Read().tokens, SizeIs(200));
  EXPECT_LT(steps, 50);
}

// A reader that is woken for the first of them would see the others come after no time at all.
TEST(SchedulerSpeculationTest, TheTokensOfAStepLeaveTogether) {
  Conversation talk(Rambler(), Guessing(4));
  std::vector<size_t> taken;
  std::shared_ptr<Outbox> outbox;
  const auto take = [&] {
    size_t tokens = 0;
    for (const Event& event : outbox->TakeAll().events) {
      const auto* const delta = std::get_if<Delta>(&event);
      tokens += delta == nullptr ? 0 : delta->tokens.size();
    }
    taken.push_back(tokens);
  };
  outbox = std::make_shared<Outbox>(100, take);
  OpenCommand open{.attachment = 1, .request = With(4, 40), .outbox = outbox};
  talk.scheduler().Handle(std::move(open));
  RequestCommand turn{1, 1, true, {}, Greedy(300)};
  turn.input.tokens = Numbers(20, 1);
  talk.scheduler().Handle(std::move(turn));
  std::vector<size_t> sampled;
  do {
    while (!outbox->TakeAll().events.empty()) {
    }
    taken.clear();
    talk.Run(1);
    if (talk.observer().steps.back().sampled_tokens > 1) {
      sampled.push_back(talk.observer().steps.back().sampled_tokens);
      EXPECT_EQ(taken.front(), sampled.back());
    }
  } while (talk.scheduler().Stats().running_requests > 0);
  EXPECT_GT(sampled.size(), 10);
}

// In a window that does not fill up, so that each block more would show.
TEST(SchedulerSpeculationTest, ARejectedGuessLeavesNoBlockBehind) {
  Conversation talk({.num_blocks = 400, .next = Rambling}, Guessing(9));
  auto& alice = talk.OpenStream(With(3, 1000));
  alice.Feed({'a', 'b', 'a', 'b'}, Greedy(900));
  KvBlocks blocks(400);
  KvWindow plain(3, 1000, talk.model().Spec().block_tokens);
  int rejections = 0;
  while (talk.Run(1) > 0 && alice.Read().turns.empty()) {
    const auto position = 4 + static_cast<int64_t>(alice.Read().tokens.size()) - 1;
    while (plain.position() < position) {
      plain.Reserve(1, blocks);
      plain.Advance(1, blocks);
    }
    ASSERT_EQ(talk.scheduler().Stats().blocks_used, blocks.used());
    const auto& step = talk.observer().steps.back();
    rejections += step.guessed_tokens - step.accepted_guesses;
  }
  EXPECT_GT(rejections, 50);
}

TEST(SchedulerSpeculationTest, NoStepTakesMoreBlocksThanTheSessionReserved) {
  Conversation talk(Rambler(), Guessing(9));
  auto& alice = talk.OpenStream(With(3, 17));
  alice.Feed({'a', 'b', 'a', 'b'}, Greedy(400));
  const int64_t block_bytes = talk.model().Spec().block_bytes;
  const int64_t reserved = alice.Read().opened->kv_bytes / block_bytes;
  int64_t most = 0;
  talk.model().on_step = [&] {
    most = std::max<int64_t>(most, talk.scheduler().Stats().blocks_used);
  };
  while (talk.Run(1) > 0) alice.Read();
  EXPECT_LE(most, reserved);
}

TEST(SchedulerSpeculationTest, NobodyGuessesWhileManyDecode) {
  EngineOptions options = Guessing(4);
  options.limits.step_tokens = 100;
  options.limits.max_sessions = 60;
  Conversation talk({.num_blocks = 1000, .next = Rambling}, options);
  std::vector<Stream*> streams;
  for (int i = 0; i < 60; ++i) {
    streams.push_back(&talk.OpenStream(With(1, 9)));
    streams.back()->Feed({'a', 'b', 'a', 'b'}, Greedy(i < 54 ? 60 : 200));
  }
  while (talk.Run(1) > 0) {
    for (Stream* const stream : streams) stream->Read();
  }
  int64_t guessed = 0, full_steps = 0;
  for (const auto& step : talk.observer().steps) {
    guessed += step.guessed_tokens;
    if (step.guessed_tokens > 0) {
      EXPECT_LE(step.decode_rows, kGuessedStepRows);
    } else {
      full_steps += step.prefill_rows == 0 && step.sequences >= kGuessedStepRows ? 1 : 0;
    }
  }
  EXPECT_GT(guessed, 0);  // by those that were left
  EXPECT_GT(full_steps, 0);
}

// What happens to a reply in its middle, at a step that would guess.
enum class Blow { kCancel, kFailedStep, kTakeover };
void PrintTo(Blow blow, std::ostream* out) {
  constexpr const char* kNames[] = {"cancel", "failed step", "takeover"};
  *out << kNames[static_cast<int>(blow)];
}

class BlowTest : public testing::TestWithParam<std::tuple<Blow, int>> {
 protected:
  static void Strike(Conversation& talk, Stream*& stream) {
    if (std::get<0>(GetParam()) == Blow::kCancel) return stream->Cancel();
    if (std::get<0>(GetParam()) == Blow::kFailedStep) {
      talk.model().FailNextStep();
      talk.Run(1);
      return;
    }
    OpenRequest again;
    again.id = stream->id();
    stream = &talk.OpenStream(again);
  }

  // Strikes once `tokens` or more have come; tells how many that were and what came after.
  static std::pair<size_t, std::string> Live(int32_t guesses, size_t tokens) {
    Conversation talk(Rambler(), Guessing(guesses));
    Stream* stream = &talk.OpenStream(With(3, 14));
    stream->Feed({'a', 'b', 'a', 'b'}, Greedy(500));
    while (stream->Read().tokens.size() < tokens) talk.Run(1);
    const size_t heard = stream->Read().tokens.size();
    Strike(talk, stream);
    stream->Say("abab", Greedy(60), 2);
    talk.Run();
    return {heard, stream->Read().transcript};
  }
};

TEST_P(BlowTest, TheSessionGoesOnAsWithoutGuesses) {
  const auto guessed = Live(4, static_cast<size_t>(std::get<1>(GetParam())));
  EXPECT_EQ(guessed, Live(0, guessed.first));
}

INSTANTIATE_TEST_SUITE_P(Blows, BlowTest,
                         testing::Combine(testing::Values(Blow::kCancel, Blow::kFailedStep,
                                                          Blow::kTakeover),
                                          testing::Range(1, 60)));

TEST(SchedulerSpeculationTest, ASessionThatWasParkedSaysTheSame) {
  EngineOptions options = Guessing(4);
  Conversation talk({.num_blocks = 24, .next = Rambling}, options, 100);
  auto& alice = talk.OpenStream(With(4, 40));
  const auto id = alice.id();
  const std::vector<TokenId> prompt = {'a', 'b', 'a', 'b'};
  alice.Feed(prompt, Greedy(70));
  talk.Run();
  auto text = prompt;
  const auto reply = alice.Read().tokens;
  text.insert(text.end(), reply.begin(), reply.end());
  alice.Vanish();
  auto& bob = talk.OpenStream(With(4, 40));
  talk.EndAllParking();
  EXPECT_EQ(talk.scheduler().Stats().parked_sessions, 1);
  bob.Feed(Numbers(60, 3), Greedy(30));
  talk.Run();
  bob.Close();
  OpenRequest again;
  again.id = id;
  auto& back = talk.OpenStream(again);
  talk.EndAllParking();
  back.Feed({'c'}, Greedy(70));
  talk.Run();
  text.push_back('c');
  EXPECT_EQ(back.Read().tokens, ReplyByDefinition(text, 4, 40, 70, Rambling));
}

}  // namespace
}  // namespace sinkstream
