#include "engine/text/detokenizer.h"

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sinkstream {
namespace {

using testing::ElementsAre;

// Token i stands for the i-th piece.
class PieceTokenizer final : public Tokenizer {
 public:
  explicit PieceTokenizer(std::vector<std::string> pieces) : pieces_(std::move(pieces)) {}
  std::vector<TokenId> Encode(std::string_view, TokenId) const override { return {}; }
  std::string_view TokenBytes(TokenId token) const override { return pieces_[token]; }
  bool IsSpecial(TokenId token) const override { return pieces_[token].empty(); }
  int32_t VocabSize() const override { return static_cast<int32_t>(pieces_.size()); }

 private:
  std::vector<std::string> pieces_;
};

struct Trace {
  std::vector<std::string> outputs;  // of each Push, then of Flush
  std::optional<std::string> stopped;

  std::string Joined() const {
    std::string joined;
    for (const std::string& output : outputs) joined += output;
    return joined;
  }
};

Trace Decode(const std::vector<std::string>& pieces, const std::vector<std::string>& stops) {
  const PieceTokenizer tokenizer(pieces);
  Detokenizer detokenizer(tokenizer, stops);
  Trace trace;
  for (size_t i = 0; i < pieces.size(); ++i) {
    trace.outputs.push_back(detokenizer.Push(static_cast<TokenId>(i)));
  }
  trace.outputs.push_back(detokenizer.Flush());
  trace.stopped = detokenizer.Stopped();
  return trace;
}

TEST(DetokenizerTest, ACharacterComesWhenItIsWhole) {
  EXPECT_THAT(Decode({"a\xF0\x9F", "\x98",
                      "\x80"
                      "b"},
                     {})
                  .outputs,
              ElementsAre("a", "", "😀b", ""));
}

TEST(DetokenizerTest, ABrokenCharacterBecomesOneReplacementForEachMaximalPart) {
  EXPECT_THAT(Decode({"\xF0\x9F", "a"}, {}).outputs, ElementsAre("", "\uFFFDa", ""));
  EXPECT_THAT(Decode({"\x80\x80", "\xED\xA0\x80"}, {}).outputs,
              ElementsAre("\uFFFD\uFFFD", "\uFFFD\uFFFD\uFFFD", ""));
  EXPECT_THAT(Decode({"a\xE2\x82"}, {}).outputs, ElementsAre("a", "\uFFFD"));
}

TEST(DetokenizerTest, SpecialTokensGiveNoTextAndDivideNoCharacter) {
  EXPECT_THAT(Decode({"\xC3", "", "\xA9"}, {}).outputs, ElementsAre("", "", "é", ""));
}

// As SentencePiece-style tokenizers with byte fallback are.
class SpacedTokenizer final : public Tokenizer {
 public:
  std::vector<TokenId> Encode(std::string_view, TokenId) const override { return {}; }
  std::string_view TokenBytes(TokenId token) const override { return kPieces[token]; }
  std::string FirstTokenBytes(TokenId token) const override {
    return std::string(kPieces[token].substr(kPieces[token].starts_with(' ') ? 1 : 0));
  }
  bool ReplacesBrokenBytes() const override { return true; }
  bool IsSpecial(TokenId token) const override { return kPieces[token].empty(); }
  int32_t VocabSize() const override { return std::size(kPieces); }

 private:
  static constexpr std::string_view kPieces[] = {"", " a", "\xE5", "\xAD", "\x97"};
};

std::string DecodeSpaced(const std::vector<TokenId>& tokens, bool continues) {
  const SpacedTokenizer tokenizer;
  Detokenizer detokenizer(tokenizer, {}, continues);
  std::string text;
  for (const TokenId token : tokens) text += detokenizer.Push(token);
  return text + detokenizer.Flush();
}

TEST(DetokenizerTest, TheSpaceBeforeATextIsLeftOutOnce) {
  EXPECT_EQ(DecodeSpaced({1, 1}, /*continues=*/false), "a a");
  EXPECT_EQ(DecodeSpaced({0, 1}, /*continues=*/false), "a") << "special tokens are no text";
  EXPECT_EQ(DecodeSpaced({1, 1}, /*continues=*/true), " a a");
}

TEST(DetokenizerTest, ByteFallbackGivesAReplacementForEveryBrokenByte) {
  EXPECT_EQ(DecodeSpaced({2, 3, 1}, true), "\uFFFD\uFFFD a");
  EXPECT_EQ(DecodeSpaced({2, 3, 4, 2}, true), "字\uFFFD") << "whole characters have been released";
}

TEST(DetokenizerTest, AStopStringAcrossTokensNeverShows) {
  const Trace trace = Decode({"one E", "N", "D two"}, {"END"});
  EXPECT_THAT(trace.outputs, ElementsAre("one ", "", "", ""));
  EXPECT_EQ(trace.stopped, "END");
}

TEST(DetokenizerTest, WhatOnlyBeganLikeAStopStringComesLater) {
  EXPECT_THAT(Decode({"a E", "N", "x"}, {"END"}).outputs, ElementsAre("a ", "", "ENx", ""));
  EXPECT_THAT(Decode({"a E", "N"}, {"END"}).outputs, ElementsAre("a ", "", "EN"));
}

TEST(DetokenizerTest, AStopStringMayBeginInsideItsOwnBeginning) {
  const Trace trace = Decode({"aa", "a", "b!"}, {"aab"});
  EXPECT_EQ(trace.Joined(), "a");
  EXPECT_EQ(trace.stopped, "aab");
}

TEST(DetokenizerTest, TheStopStringThatIsCompleteFirstWins) {
  EXPECT_EQ(Decode({"xabcd"}, {"abcd", "bc"}).stopped, "bc");
  EXPECT_EQ(Decode({"xabcd"}, {"abcd", "bc"}).Joined(), "xa");
  EXPECT_EQ(Decode({"xabc"}, {"abc", "ab"}).stopped, "ab");
}

TEST(DetokenizerTest, TheLongestOfThoseCompleteTogetherWins) {
  EXPECT_EQ(Decode({"xabc"}, {"c", "abc", "bc"}).stopped, "abc");
  EXPECT_EQ(Decode({"xabc"}, {"c", "abc", "bc"}).Joined(), "x");
}

TEST(DetokenizerTest, AStopStringOfManyByteCharacters) {
  const Trace trace = Decode({"x。\xE7", "\xB5", "\x82\xE3\x82", "\x8F\xE3\x82\x8Ay"}, {"終わり"});
  EXPECT_THAT(trace.outputs, ElementsAre("x。", "", "", "", ""));
  EXPECT_EQ(trace.stopped, "終わり");
}

TEST(DetokenizerTest, NothingComesAfterAStopString) {
  EXPECT_THAT(Decode({"a.", "b", "c"}, {"."}).outputs, ElementsAre("a", "", "", ""));
}

TEST(DetokenizerTest, FlushMayCompleteAStopString) {
  const Trace trace = Decode({"a\xF0"}, {"\uFFFD"});
  EXPECT_EQ(trace.Joined(), "a");
  EXPECT_EQ(trace.stopped, "\uFFFD");
}

// What the class promises, said plainly: decode all, then cut where a stop string first ends.
std::string Oracle(const std::string& bytes, const std::vector<std::string>& stops) {
  const std::string text = LossyUtf8(bytes);
  size_t first_end = text.size() + 1;
  size_t cut = text.size();
  for (const std::string& stop : stops) {
    const size_t begin = text.find(stop);
    if (begin == std::string::npos) continue;
    const size_t end = begin + stop.size();
    if (end < first_end || (end == first_end && begin < cut)) cut = begin;
    first_end = std::min(first_end, end);
  }
  return text.substr(0, cut);
}

class Random {
 public:
  explicit Random(uint32_t seed) : engine_(seed) {}
  size_t Below(size_t bound) { return engine_() % bound; }
  // Of an alphabet so small that stop strings come by chance, with broken characters among it.
  std::string Text(size_t length, bool broken) {
    static const std::vector<std::string> alphabet = {"a",  "b",        "é",    "終",
                                                      "😀", "\xE7\xB5", "\x80", "\xF0\x9F"};
    std::string text;
    for (size_t i = 0; i < length; ++i) text += alphabet[Below(broken ? alphabet.size() : 5)];
    return text;
  }

 private:
  std::mt19937 engine_;
};

TEST(DetokenizerProperty, OutputsTogetherAreTheTextUpToTheFirstStopString) {
  Random random(1);
  int stopped = 0;
  for (int round = 0; round < 20'000; ++round) {
    const std::string bytes = random.Text(random.Below(20), true);
    std::vector<std::string> stops;
    for (size_t i = random.Below(4); i > 0; --i)
      stops.push_back(random.Text(1 + random.Below(4), false));
    std::vector<std::string> pieces;
    for (size_t at = 0; at < bytes.size();) {
      pieces.push_back(bytes.substr(at, random.Below(5)));
      at += pieces.back().size();
    }
    const Trace trace = Decode(pieces, stops);
    ASSERT_EQ(trace.Joined(), Oracle(bytes, stops)) << "round " << round;
    ASSERT_EQ(trace.stopped.has_value(), trace.Joined() != LossyUtf8(bytes)) << "round " << round;
    for (const std::string& output : trace.outputs) ASSERT_TRUE(IsValidUtf8(output));
    stopped += trace.stopped.has_value();
  }
  EXPECT_GT(stopped, 1000);
}

TEST(Utf8Test, ValidIsWhatRfc3629Says) {
  for (const char* text : {"", "a", "\u007F", "é", "\u07FF", "\u0800", "\uD7FF", "\uE000", "\uFFFF",
                           "😀", "\U0010FFFF"}) {
    EXPECT_TRUE(IsValidUtf8(text)) << text;
  }
  for (const char* text :
       {"\x80", "\xC0\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xF0\x8F\xBF\xBF",
        "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF", "a\xC3", "\xE2\x82", "\xF0\x9F\x98"}) {
    EXPECT_FALSE(IsValidUtf8(text));
  }
}

TEST(Utf8Test, ThePrefixEndsBeforeACharacterThatMayYetBeWhole) {
  EXPECT_EQ(CompleteUtf8Prefix(""), 0u);
  EXPECT_EQ(CompleteUtf8Prefix("ab"), 2u);
  EXPECT_EQ(CompleteUtf8Prefix("a\xC3"), 1u);
  EXPECT_EQ(CompleteUtf8Prefix("a\xF0\x9F\x98"), 1u);
  EXPECT_EQ(CompleteUtf8Prefix("\xF0\x9F\x98\x80"), 4u);
  EXPECT_EQ(CompleteUtf8Prefix("\xE0\x80"), 2u);  // no character begins so
  EXPECT_EQ(CompleteUtf8Prefix("\x80\x80"), 2u);
  EXPECT_EQ(CompleteUtf8Prefix("\xE2\x82\xE2"), 2u);
}

TEST(Utf8Test, EveryScalarValueComesBack) {
  for (uint32_t value = 0; value < 0x110000; ++value) {
    if (value == 0xD800) value = 0xE000;
    const std::string text = EncodeUtf8(value);
    ASSERT_TRUE(IsValidUtf8(text)) << value;
    ASSERT_EQ(FirstCodePoint(text).value, value);
    ASSERT_EQ(FirstCodePoint(text).size, text.size());
  }
}

}  // namespace
}  // namespace sinkstream
