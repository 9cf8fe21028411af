#include "engine/text/chat_format.h"

#include <ostream>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/text/tiny_tokenizer.h"

namespace sinkstream {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr TokenId kStart = 1;
constexpr TokenId kEnd = 2;

json ChatmlJson() {
  const auto role = [](const char* name) -> json {
    return {{"prefix", {{{"token", kStart}}, {{"text", std::string(name) + "\n"}}}},
            {"suffix", {{{"token", kEnd}}, {{"text", "\n"}}}}};
  };
  return {{"format_version", 1},    {"name", "chatml"},      {"trim", false},
          {"begin", json::array()}, {"system", role("s")},   {"user", role("u")},
          {"assistant", role("a")}, {"default_system", "D"}, {"stop_tokens", {kEnd}}};
}

ChatFormat Parse(const json& file) {
  auto format = ParseChatFormat(file.dump(), 257);
  EXPECT_TRUE(format.ok()) << format.status();
  return format.ok() ? *std::move(format) : ChatFormat();
}

// No merges: tokens are bytes, and the markers 1 and 2 stand out.
class ChatFormatTest : public testing::Test {
 protected:
  std::unique_ptr<Tokenizer> bytes_ = MakeTokenizer(TinyTokenizerJson());
};

TEST_F(ChatFormatTest, BeginsWithTheGivenOrTheDefaultSystemTurn) {
  const ChatFormat format = Parse(ChatmlJson());
  EXPECT_THAT(format.EncodeBegin(*bytes_, "X"), ElementsAre(kStart, 's', '\n', 'X', kEnd, '\n'));
  EXPECT_THAT(format.EncodeBegin(*bytes_, ""), ElementsAre(kStart, 's', '\n', kEnd, '\n'));
  EXPECT_THAT(format.EncodeBegin(*bytes_, std::nullopt),
              ElementsAre(kStart, 's', '\n', 'D', kEnd, '\n'));
}

TEST_F(ChatFormatTest, WithoutAnySystemTextOnlyBeginIsFed) {
  json file = ChatmlJson();
  file["default_system"] = nullptr;
  file["begin"] = {{{"token", 7}}};
  EXPECT_THAT(Parse(file).EncodeBegin(*bytes_, std::nullopt), ElementsAre(7));
}

TEST_F(ChatFormatTest, AUserTurnAsksForAReply) {
  EXPECT_THAT(Parse(ChatmlJson()).EncodeUserTurn(*bytes_, "hi"),
              ElementsAre(kStart, 'u', '\n', 'h', 'i', kEnd, '\n', kStart, 'a', '\n'));
}

TEST_F(ChatFormatTest, AReplyThatTheModelEndedGetsNoSecondEnd) {
  const ChatFormat format = Parse(ChatmlJson());
  EXPECT_THAT(format.EncodeEndOfReply(*bytes_, kEnd), ElementsAre('\n'));
  EXPECT_THAT(format.EncodeEndOfReply(*bytes_, 'x'), ElementsAre(kEnd, '\n'));
  EXPECT_THAT(format.EncodeEndOfReply(*bytes_, std::nullopt), ElementsAre(kEnd, '\n'));
}

TEST_F(ChatFormatTest, TextCannotForgeATurn) {
  const auto tokens = Parse(ChatmlJson()).EncodeUserTurn(*bytes_, kSpecialText);
  EXPECT_THAT(tokens, testing::Not(testing::Contains(SpecialToken(*bytes_))));
}

TEST_F(ChatFormatTest, TextsThatTouchAreEncodedAsOne) {
  // "\n" + "h" is one token only if prefix and text are joined; so is "i" + "." across text and
  // suffix, and "." + "A" into the assistant's prefix.
  const auto tokenizer = MakeTokenizer(TinyTokenizerJson({{"Ċ", "h"}, {"i", "."}, {"i.", "A"}}));
  json file = ChatmlJson();
  file["user"]["suffix"] = {{{"text", "."}}};
  file["assistant"]["prefix"] = {{{"text", "A"}}};
  EXPECT_THAT(Parse(file).EncodeUserTurn(*tokenizer, "hi"), ElementsAre(kStart, 'u', 256, 258));
}

TEST_F(ChatFormatTest, TrimTakesWhatPythonsStripTakes) {
  json file = ChatmlJson();
  file["trim"] = true;
  const ChatFormat format = Parse(file);
  const auto expected = format.EncodeUserTurn(*bytes_, "a b");
  for (const char* space :
       {"\t",     "\n",     "\v",     "\f",     "\r",     "\x1C",   "\x1D",
        "\x1E",   "\x1F",   " ",      "\u0085", "\u00A0", "\u1680", "\u2000",
        "\u200A", "\u2028", "\u2029", "\u202F", "\u205F", "\u3000", " \n\u3000"}) {
    EXPECT_EQ(format.EncodeUserTurn(*bytes_, std::string(space) + "a b" + space), expected);
  }
  for (const char* kept : {"\u180E", "\u200B", "\uFEFF", "\u2060", "\x1B"}) {
    EXPECT_NE(format.EncodeUserTurn(*bytes_, std::string(kept) + "a b"), expected);
  }
  EXPECT_EQ(format.EncodeUserTurn(*bytes_, " \n "), format.EncodeUserTurn(*bytes_, ""));
  EXPECT_EQ(format.EncodeBegin(*bytes_, " X "), format.EncodeBegin(*bytes_, "X"));
  EXPECT_NE(Parse(ChatmlJson()).EncodeUserTurn(*bytes_, " a b"), expected);
}

TEST_F(ChatFormatTest, APlainFormatAddsNothing) {
  const json empty = {{"prefix", json::array()}, {"suffix", json::array()}};
  json file = ChatmlJson();
  for (const char* role : {"system", "user", "assistant"}) file[role] = empty;
  file["default_system"] = nullptr;
  const ChatFormat format = Parse(file);
  EXPECT_THAT(format.EncodeBegin(*bytes_, std::nullopt), IsEmpty());
  EXPECT_THAT(format.EncodeUserTurn(*bytes_, "hi"), ElementsAre('h', 'i'));
  EXPECT_THAT(format.EncodeEndOfReply(*bytes_, 'x'), IsEmpty());
}

TEST_F(ChatFormatTest, ReadsEveryField) {
  const ChatFormat format = Parse(ChatmlJson());
  EXPECT_EQ(format.name, "chatml");
  EXPECT_FALSE(format.trim);
  EXPECT_EQ(format.default_system, "D");
  EXPECT_THAT(format.stop_tokens, ElementsAre(kEnd));
}

struct Fault {
  const char* what;
  const char* path;
  const char* value;
  const char* message;
};

void PrintTo(const Fault& fault, std::ostream* out) { *out << fault.message; }

class ChatFormatFault : public testing::TestWithParam<Fault> {};

TEST_P(ChatFormatFault, IsNamed) {
  json file = ChatmlJson();
  file[json::json_pointer(GetParam().path)] = json::parse(GetParam().value);
  const absl::Status status = ParseChatFormat(file.dump(), 257).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(
    All, ChatFormatFault,
    testing::Values(
        Fault{"Version", "/format_version", "2", "format_version 2"},
        Fault{"Name", "/name", "1", "name"}, Fault{"Trim", "/trim", "\"no\"", "trim"},
        Fault{"Begin", "/begin", "{}", "begin"}, Fault{"Role", "/user", "null", "user.prefix"},
        Fault{"Suffix", "/assistant/suffix", "\"x\"", "assistant.suffix"},
        Fault{"Both", "/system/prefix/0", R"({"token": 1, "text": "x"})", "system.prefix"},
        Fault{"Neither", "/system/prefix/0", "{}", "system.prefix"},
        Fault{"Text", "/system/prefix/0", R"({"text": 1})", "system.prefix"},
        Fault{"TokenTooLarge", "/user/suffix/0/token", "257", "257 is no token id in [0, 257)"},
        Fault{"TokenNegative", "/user/suffix/0/token", "-1", "-1 is no token id"},
        Fault{"TokenHuge", "/user/suffix/0/token", "18446744073709551615", "is no token id"},
        Fault{"TokenFraction", "/user/suffix/0/token", "1.5", "1.5 is no token id"},
        Fault{"DefaultSystem", "/default_system", "1", "default_system"},
        Fault{"StopTokens", "/stop_tokens", "2", "stop_tokens"},
        Fault{"StopToken", "/stop_tokens/0", "300", "stop_tokens"}),
    [](const auto& fault) { return std::string(fault.param.what); });

TEST(ChatFormatParse, RefusesWhatIsNoJson) {
  for (const char* text : {"", "{", "[]", "{}"}) {
    EXPECT_EQ(ParseChatFormat(text, 257).status().code(), absl::StatusCode::kInvalidArgument)
        << text;
  }
}

}  // namespace
}  // namespace sinkstream
