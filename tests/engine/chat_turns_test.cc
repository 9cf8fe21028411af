// Where a user turn stands, and what a cut one leaves: what the model sees of a conversation.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/engine/conversation.h"

namespace sinkstream {
namespace {

using testing::ElementsAre;

OpenRequest System(const std::string& text) {
  OpenRequest request;
  request.system_prompt = text;
  return request;
}

// Says "ok" and keeps what its first row of each turn saw.
class FoldedSystemTest : public testing::Test {
 protected:
  void Use(ChatFormat format) {
    EngineOptions options = SmallOptions();
    options.defaults.window = 60;  // keeps these conversations whole; two sessions fit
    talk_ = std::make_unique<Conversation>(SaysAndShows("ok", seen_), options, 0, format);
  }
  void SetUp() override { Use(FoldedChatFormat()); }

  // What the first token of the reply to `text` saw.
  std::string SeenBy(Stream& stream, const std::string& text) {
    stream.Say(text, Greedy(1));
    talk_->Run();
    return seen_;
  }
  Stream& Open(OpenRequest request = {}) { return talk_->OpenStream(std::move(request)); }

  std::string seen_;
  std::unique_ptr<Conversation> talk_;
};

TEST_F(FoldedSystemTest, TheFirstUserTurnGoesOnFromTheSystemTextAndTheNextDoesNot) {
  auto& alice = Open(System("be kind"));
  EXPECT_EQ(SeenBy(alice, "hi"), "[B][S]u:be kind|hi[E][S]a:");
  EXPECT_EQ(SeenBy(alice, "go"), "[B][S]u:be kind|hi[E][S]a:o[E]\n[S]u:go[E][S]a:");
}

TEST_F(FoldedSystemTest, ASessionThatSharesTheSystemTextDoesTheSame) {
  SeenBy(Open(System("a rather long prompt")), "hi");
  auto& bob = Open(System("a rather long prompt"));
  EXPECT_GT(bob.Read().opened->position, 0);
  EXPECT_EQ(SeenBy(bob, "hi"), "[B][S]u:a rather long prompt|hi[E][S]a:");
}

TEST_F(FoldedSystemTest, WithoutASystemTextAUserTurnBeginsAsAnyOther) {
  EXPECT_EQ(SeenBy(Open(), "hi"), "[B][S]u:hi[E][S]a:");
}

TEST_F(FoldedSystemTest, ADefaultSystemTextIsGoneOnFromToo) {
  ChatFormat format = FoldedChatFormat();
  format.default_system = "be";
  Use(format);
  EXPECT_EQ(SeenBy(Open(), "hi"), "[B][S]u:be|hi[E][S]a:");
}

TEST_F(FoldedSystemTest, TextFedBetweenBelongsToTheFirstUserTurn) {
  auto& alice = Open(System("be kind"));
  alice.Append(" and read this.");
  talk_->Run();
  EXPECT_EQ(SeenBy(alice, "hi"), "[B][S]u:be kind| and read this.hi[E][S]a:");
}

TEST_F(FoldedSystemTest, ATurnOfTokensEndsTheFirstUserTurn) {
  auto& alice = Open(System("be kind"));
  alice.Feed({'h', 'i', kEndToken, kTurnToken, 'a', ':'}, Greedy(1));
  talk_->Run();
  EXPECT_EQ(SeenBy(alice, "go"), "[B][S]u:be kind|hi[E][S]a:o[S]u:go[E][S]a:");
}

TEST_F(FoldedSystemTest, ATurnCutWithinTheSystemTextLeavesTheNextOneToGoOnFromIt) {
  for (const bool given : {true, false}) {
    ChatFormat format = FoldedChatFormat();
    if (!given) format.default_system = "a rather long prompt";
    Use(format);
    auto& alice = given ? Open(System("a rather long prompt")) : Open();
    alice.Say("hi");
    talk_->Run(1);
    alice.Cancel();
    EXPECT_EQ(SeenBy(alice, "go"), "[B][S]u:a rather long prompt|go[E][S]a:") << given;
  }
}

TEST_F(FoldedSystemTest, ATurnCutBeforeAnythingWasReadLeavesNoTrace) {
  ChatFormat format = FoldedChatFormat();
  format.default_system = "be";
  Use(format);
  auto& alice = Open();
  alice.Say("hi");
  alice.Cancel();
  alice.Append("as it is.");
  EXPECT_EQ(SeenBy(alice, "go"), "as it is.[S]u:go[E][S]a:");
}

// ---- a user turn that is cut near its end ----

TEST(CutTurnTest, AUserTurnCutBehindItsEndIsNotEndedTwice) {
  // The first chunk is 16 tokens: the text, its end too, the first of what asks for a reply.
  std::vector<std::string> seen_by_next;
  for (const std::string text : {"abcdefghijkl", "abcdefghijk", "abcdefghij"}) {
    std::string seen;
    Conversation talk(SaysAndShows("ok", seen), WideOptions());
    auto& alice = talk.OpenStream();
    alice.Say(text);
    talk.Run(1);
    alice.Cancel();
    alice.Say("go", Greedy(1));
    talk.Run();
    seen_by_next.push_back(seen);
  }
  EXPECT_THAT(seen_by_next, ElementsAre("[B][S]u:abcdefghijkl[E]\n[S]u:go[E][S]a:",
                                        "[B][S]u:abcdefghijk[E]\n[S]u:go[E][S]a:",
                                        "[B][S]u:abcdefghij[E][S][E]\n[S]u:go[E][S]a:"));
}

}  // namespace
}  // namespace sinkstream
