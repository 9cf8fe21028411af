#include "engine/session/prompt.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/text/stable_boundaries.h"
#include "tests/fakes/fake_text.h"

namespace sinkstream {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr TokenId kAb = 200;

// Bytes, but "ab" is one token: where a text is cut can show.
class MergingTokenizer final : public Tokenizer {
 public:
  using Tokenizer::Encode;
  std::vector<TokenId> Encode(std::string_view text, TokenId) const override {
    std::vector<TokenId> tokens;
    for (size_t i = 0; i < text.size(); ++i) {
      const bool merged = text.substr(i, 2) == "ab";
      tokens.push_back(merged ? kAb : static_cast<unsigned char>(text[i]));
      i += merged ? 1 : 0;
    }
    return tokens;
  }
  std::string_view TokenBytes(TokenId token) const override {
    return token == kAb ? "ab" : bytes_.TokenBytes(token);
  }
  bool IsSpecial(TokenId token) const override { return bytes_.IsSpecial(token); }
  int32_t VocabSize() const override { return bytes_.VocabSize(); }

 private:
  FakeTokenizer bytes_;
};

class PromptTest : public testing::Test {
 protected:
  RequestInput Text(const std::string& text) const {
    RequestInput input;
    input.text = SplitAtStableBoundaries(tokenizer_, text);
    return input;
  }
  static RequestInput Ids(std::vector<TokenId> tokens) {
    RequestInput input;
    input.tokens = std::move(tokens);
    return input;
  }
  Prompt Append(Unread before, const std::string& text) const {
    return MakePrompt(std::move(before), Text(text), false, {}, tokenizer_);
  }
  Prompt RawTurn(Unread before, const std::string& text) const {
    return MakePrompt(std::move(before), Text(text), true, {}, tokenizer_);
  }
  static Unread AllRead(const Prompt& prompt) {
    return LeftUnread(prompt, static_cast<int64_t>(prompt.tokens.size()));
  }

  const MergingTokenizer tokenizer_;
};

TEST_F(PromptTest, AnAppendHoldsWhatTheNextTextMayChange) {
  const Prompt prompt = Append({}, "xa");
  EXPECT_THAT(prompt.tokens, IsEmpty());
  EXPECT_EQ(AllRead(prompt).held, "xa");
  EXPECT_THAT(Append(AllRead(prompt), "b c d").tokens, ElementsAre('x', kAb, ' ', 'c'));
}

TEST_F(PromptTest, ARawTurnReadsAllThereIs) {
  const Prompt prompt = RawTurn({{}, "xa"}, "b c d");
  EXPECT_THAT(prompt.tokens, ElementsAre('x', kAb, ' ', 'c', ' ', 'd'));
  EXPECT_TRUE(AllRead(prompt).empty());
}

TEST_F(PromptTest, WhatWasOwedComesFirstThenTheBeginningOfTheConversation) {
  const std::vector<TokenId> begin = {kBeginToken};
  EXPECT_THAT(MakePrompt({{7}, ""}, Ids({1, 2}), true, begin, tokenizer_).tokens,
              ElementsAre(7, kBeginToken, 1, 2));
}

TEST_F(PromptTest, HeldTextIsReadBeforeTokenIds) {
  EXPECT_THAT(MakePrompt({{7}, "xab"}, Ids({1}), true, {}, tokenizer_).tokens,
              ElementsAre(7, 'x', kAb, 1));
}

// ---- what is left when a request is cut ----

TEST_F(PromptTest, ARequestCutBeforeItsOwnTokensLeavesAllThatWasThere) {
  const Prompt prompt = Append({{7, 8}, "xa"}, "b c d");
  EXPECT_THAT(LeftUnread(prompt, 0).owed, ElementsAre(7, 8));
  EXPECT_THAT(LeftUnread(prompt, 1).owed, ElementsAre(8));
  EXPECT_EQ(LeftUnread(prompt, 1).held, "xa");
  EXPECT_THAT(LeftUnread(prompt, 2).owed, IsEmpty());
  EXPECT_EQ(LeftUnread(prompt, 2).held, "xa");
}

TEST_F(PromptTest, ARequestCutWithinHeldTextStillOwesTheRestOfIt) {
  const Prompt prompt = Append({{7}, "xa"}, "b c d");  // 7 x ab _ c
  EXPECT_THAT(LeftUnread(prompt, 2).owed, ElementsAre(kAb));
  EXPECT_EQ(LeftUnread(prompt, 2).held, "");
}

TEST_F(PromptTest, TheRestOfHeldTextIsNoMoreOwedThanTheTextWas) {
  const Prompt cut = Append({{7}, "xyzab"}, "c d");  // 7 x y z ab c
  EXPECT_EQ(LeftUnread(cut, 1).begun, 0);
  EXPECT_EQ(LeftUnread(cut, 2, /*next_told=*/true).begun, 2);
  const Unread rest = LeftUnread(cut, 2);
  EXPECT_THAT(rest.owed, ElementsAre('y', 'z', kAb));
  EXPECT_EQ(rest.begun, 3);
  const Prompt next = MakePrompt(rest, Ids({1, 2}), false, {}, tokenizer_);  // y z ab 1 2
  EXPECT_EQ(next.owed_tokens, 0);
  EXPECT_THAT(LeftUnread(next, 1).owed, ElementsAre('z', kAb));
  EXPECT_EQ(LeftUnread(next, 1).begun, 2);
  EXPECT_TRUE(LeftUnread(next, 4).empty());
}

TEST_F(PromptTest, ARequestCutWithinItsOwnTextLeavesNothing) {
  const Prompt prompt = Append({{7}, "xa"}, "b c d");
  EXPECT_TRUE(LeftUnread(prompt, 3).empty());
  EXPECT_TRUE(LeftUnread(prompt, 4).empty());
  EXPECT_EQ(LeftUnread(prompt, 5).held, " d") << "read to its end";
}

TEST_F(PromptTest, AConversationCutBeforeItsBeginningHasNotBegun) {
  const std::vector<TokenId> begin = {kBeginToken, kTurnToken};
  const Prompt prompt = MakePrompt({}, Ids({1, 2}), true, begin, tokenizer_);
  EXPECT_TRUE(LeftUnread(prompt, 0).empty());
  EXPECT_THAT(LeftUnread(prompt, 1).owed, ElementsAre(kTurnToken));
  EXPECT_EQ(LeftUnread(prompt, 1).begun, 0);
  EXPECT_TRUE(LeftUnread(prompt, 3).empty());
}

// Whatever a later request is and wherever it is cut: what was held before it is still read, once.
TEST_F(PromptTest, NothingThatWasHeldIsLostWhereverTheNextRequestIsCut) {
  std::string held;
  while (held.size() + 5 <= kMaxHeldBytes) held += " w123";
  const auto bytes = [&](const std::vector<TokenId>& tokens) {
    std::string text;
    for (const TokenId token : tokens) text += tokenizer_.TokenBytes(token);
    return text;
  };
  for (const std::string text : {" w456", "ab", "x y", " x y z w"}) {
    for (const bool replies : {false, true}) {
      const Prompt prompt = MakePrompt({{}, held}, Text(text), replies, {}, tokenizer_);
      for (size_t fed = 0; fed <= prompt.tokens.size(); ++fed) {
        const Unread left = LeftUnread(prompt, static_cast<int64_t>(fed));
        const std::string all = bytes({prompt.tokens.begin(), prompt.tokens.begin() + fed}) +
                                bytes(left.owed) + left.held;
        ASSERT_TRUE((held + text).starts_with(all)) << text << " " << fed;
        ASSERT_GE(all.size(), held.size()) << text << " " << fed;
      }
    }
  }
}

// ---- the last token, left to the next request ----

TEST_F(PromptTest, AKeptTokenIsOwedOnceTheOthersHaveBeenFed) {
  Prompt prompt = MakePrompt({{1}, ""}, Ids({2, 3}), false, {}, tokenizer_);
  KeepLast(prompt);
  EXPECT_THAT(prompt.tokens, ElementsAre(1, 2, 3));
  EXPECT_THAT(LeftUnread(prompt, 0).owed, ElementsAre(1));
  EXPECT_THAT(LeftUnread(prompt, 1).owed, IsEmpty());
  EXPECT_THAT(LeftUnread(prompt, 2).owed, ElementsAre(3));
}

TEST_F(PromptTest, AKeptTokenMayBeAllThereIs) {
  Prompt prompt = Append({{7}, ""}, "held");
  KeepLast(prompt);
  EXPECT_THAT(LeftUnread(prompt, 0).owed, ElementsAre(7));
  EXPECT_EQ(LeftUnread(prompt, 0).held, "held");
  Prompt none = Append({}, "held");
  KeepLast(none);
  EXPECT_THAT(LeftUnread(none, 0).owed, IsEmpty());
  EXPECT_EQ(LeftUnread(none, 0).held, "held");
}

// ---- where a text is split ----

TEST_F(PromptTest, TokensDoNotDependOnThePiecesWhateverIsHeldBack) {
  std::string text;
  while (text.size() < 3 * kMaxHeldBytes) text += "ab,";
  for (const size_t piece : {1, 5, 1000, 5000}) {
    std::vector<TokenId> tokens;
    Unread unread;
    const auto feed = [&](const Prompt& prompt) {
      tokens.insert(tokens.end(), prompt.tokens.begin(), prompt.tokens.end());
      unread = AllRead(prompt);
      ASSERT_LE(unread.held.size(), kMaxHeldBytes);
    };
    for (size_t at = 0; at < text.size(); at += piece) {
      feed(Append(std::move(unread), text.substr(at, piece)));
    }
    feed(RawTurn(std::move(unread), "!"));
    EXPECT_EQ(tokens, tokenizer_.Encode(text + "!")) << piece;
  }
}

}  // namespace
}  // namespace sinkstream
