#include "engine/step/step_guesser.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/fakes/fake_text.h"

namespace sinkstream {
namespace {

using testing::Each;
using testing::ElementsAre;

// Sessions whose replies have come to the end of their texts, a token a letter.
class StepGuesserTest : public testing::Test {
 protected:
  Session& Add(const std::string& text, int32_t tokens_left = 100) {
    auto session = std::make_unique<Session>("s", "", SessionSettings{.window = 17}, 16);
    session->recent.Append(std::vector<TokenId>(text.begin(), text.end() - 1));
    Sequence::Request request;
    request.replies = true;
    request.sampling.max_tokens = tokens_left + 1;
    Sequence& sequence = session->requests.emplace_back(std::move(request));
    sequence.Start(Prompt(), 0, session->window, tokenizer_);
    Delta delta;
    sequence.AcceptToken({.token = text.back()}, format_, absl::Time(), delta);
    candidates_.push_back({.index = static_cast<int32_t>(candidates_.size()), .decodes = true});
    sessions_.push_back(session.get());
    kept_.push_back(std::move(session));
    return *kept_.back();
  }

  std::vector<int32_t> Guesses(int32_t most = 4) {
    for (StepCandidate& candidate : candidates_) candidate.guesses = 0;
    StepGuesser(most, format_).Run(absl::MakeSpan(candidates_), sessions_);
    std::vector<int32_t> guesses;
    guesses.reserve(candidates_.size());
    for (const StepCandidate& candidate : candidates_) guesses.push_back(candidate.guesses);
    return guesses;
  }

  FakeTokenizer tokenizer_;
  const ChatFormat format_ = FakeChatFormat();
  std::vector<StepCandidate> candidates_;
  std::vector<Session*> sessions_;
  std::vector<std::unique_ptr<Session>> kept_;
};

TEST_F(StepGuesserTest, ASessionRemembersTheRunThatItsGuessesFollow) {
  const Session& brief = Add("ab.ab");
  const Session& long_run = Add("the cat sat. the cat");
  const Session& none = Add("abcdef");
  EXPECT_THAT(Guesses(), ElementsAre(2, 4, 0));
  EXPECT_EQ(brief.guesses.run, 2);
  EXPECT_EQ(long_run.guesses.run, 7);
  EXPECT_EQ(none.guesses.run, 0);
  EXPECT_THAT(long_run.requests.front().NextTokens(5), ElementsAre('t', ' ', 's', 'a', 't'));
}

TEST_F(StepGuesserTest, WhoseGuessesFailedMakesNoneWhereOthersDo) {
  Session& failed = Add("ab.ab");
  Add("ab.ab");
  failed.guesses.chances[0] = 0.01f;
  EXPECT_THAT(Guesses(), ElementsAre(0, 2));
}

TEST_F(StepGuesserTest, NoMoreThanTheReplyAndTheReservationHaveRoomFor) {
  Add("123456789 123456789", 3);
  Session& full = Add("123456789 123456789");
  KvBlocks blocks(100);
  while (full.window.RowsWithinReservation() > 2) {
    full.window.Reserve(1, blocks);
    full.window.Advance(1, blocks);
  }
  EXPECT_THAT(Guesses(), ElementsAre(2, 1));
}

TEST_F(StepGuesserTest, NoneBesideAPromptOrWhereTheyAreOff) {
  Add("123456789 123456789");
  EXPECT_THAT(Guesses(0), ElementsAre(0));
  EXPECT_THAT(Guesses(), ElementsAre(4));
  Add("123456789 123456789");
  candidates_.back().decodes = false;
  EXPECT_THAT(Guesses(), Each(0));
}

TEST_F(StepGuesserTest, NoneWhereTheSequencesFillTheStep) {
  while (candidates_.size() + 2 < kGuessedStepRows) Add("abcdef");
  Add("123456789 123456789");
  EXPECT_EQ(Guesses().back(), 1);
  Add("abcdef");
  EXPECT_THAT(Guesses(), Each(0));
}

}  // namespace
}  // namespace sinkstream
