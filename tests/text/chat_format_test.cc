#include "engine/text/chat_format.h"

#include <ostream>
#include <string>
#include <vector>

#include "engine/text/chat_format_json.h"
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

json Parts(std::initializer_list<json> parts) { return json(parts); }

json ChatmlJson() {
  const auto role = [](const char* name) -> json {
    return {{"prefix", {{{"token", kStart}}, {{"text", std::string(name) + "\n"}}}},
            {"suffix", {{{"token", kEnd}}, {{"text", "\n"}}}},
            {"trim", "none"}};
  };
  return {{"format_version", 2},   {"name", "chatml"},     {"begin", json::array()},
          {"system", role("s")},   {"user", role("u")},    {"assistant", role("a")},
          {"default_system", "D"}, {"stop_tokens", {kEnd}}};
}

// As version 1 wrote it: one `trim` for all.
json Version1(json file, bool trim) {
  file["format_version"] = 1;
  file["trim"] = trim;
  for (const char* role : {"system", "user", "assistant"}) file[role].erase("trim");
  return file;
}

// A system text that is folded into the first user turn: "[S]u\nX|hi" and later "[S]u\nhi".
json FoldedJson() {
  json file = ChatmlJson();
  file["default_system"] = nullptr;
  file["system"] = {
      {"prefix", file["user"]["prefix"]}, {"suffix", Parts({{{"text", "|"}}})}, {"trim", "none"}};
  file["user"]["trim"] = "both";
  file["user_after_system"] = {{"prefix", json::array()}, {"trim", "end"}};
  return file;
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
  EXPECT_THAT(Parse(ChatmlJson()).EncodeUserTurn(*bytes_, "hi").later,
              ElementsAre(kStart, 'u', '\n', 'h', 'i', kEnd, '\n', kStart, 'a', '\n'));
}

TEST_F(ChatFormatTest, WhatStandsBehindATurnAlreadyIsNotSaidAgain) {
  // The end of a turn is [E] "\n"; what is left of it behind each:
  json file = ChatmlJson();
  const auto tokenizer = MakeTokenizer(TinyTokenizerJson());
  const TokenId end = SpecialToken(*tokenizer);
  file["assistant"]["suffix"][0]["token"] = end;
  const ChatFormat format = Parse(file);
  const auto left = [&](const std::vector<TokenId>& before) {
    return format.EncodeEndOfReply(*tokenizer, before);
  };
  EXPECT_THAT(left({end}), ElementsAre('\n')) << "the model ended its own turn";
  EXPECT_THAT(left({'x'}), ElementsAre(end, '\n')) << "it was cut";
  EXPECT_THAT(left({}), ElementsAre(end, '\n'));
  EXPECT_THAT(left({'x', end, '\n'}), IsEmpty());
  EXPECT_THAT(left({'x', '\n'}), ElementsAre(end, '\n')) << "only a special token ends a turn";
  EXPECT_THAT(left({end, '\n', 'x'}), ElementsAre(end, '\n'));
}

TEST_F(ChatFormatTest, AReplyThatTheModelEndedGetsNoTextThatIsToStandBeforeTheEnd) {
  // LLaMA 2: " </s>"
  const auto tokenizer = MakeTokenizer(TinyTokenizerJson());
  const TokenId end = SpecialToken(*tokenizer);
  json file = ChatmlJson();
  file["assistant"]["suffix"] = Parts({{{"text", " "}}, {{"token", end}}});
  const ChatFormat format = Parse(file);
  EXPECT_THAT(format.EncodeEndOfReply(*tokenizer, std::vector<TokenId>{end}), IsEmpty());
  EXPECT_THAT(format.EncodeEndOfReply(*tokenizer, std::vector<TokenId>{'x'}),
              ElementsAre(' ', end));
}

TEST_F(ChatFormatTest, TextCannotForgeATurn) {
  const auto tokens = Parse(ChatmlJson()).EncodeUserTurn(*bytes_, kSpecialText).later;
  EXPECT_THAT(tokens, testing::Not(testing::Contains(SpecialToken(*bytes_))));
}

TEST_F(ChatFormatTest, TextsThatTouchAreEncodedAsOne) {
  // "\n" + "h" is one token only if prefix and text are joined; so is "i" + "." across text and
  // suffix, and "." + "A" into the assistant's prefix.
  const auto tokenizer = MakeTokenizer(TinyTokenizerJson({{"Ċ", "h"}, {"i", "."}, {"i.", "A"}}));
  json file = ChatmlJson();
  file["user"]["suffix"] = {{{"text", "."}}};
  file["assistant"]["prefix"] = {{{"text", "A"}}};
  EXPECT_THAT(Parse(file).EncodeUserTurn(*tokenizer, "hi").later,
              ElementsAre(kStart, 'u', 256, 258));
}

TEST_F(ChatFormatTest, TrimTakesWhatPythonsStripTakes) {
  json file = ChatmlJson();
  file["user"]["trim"] = "both";
  const ChatFormat format = Parse(file);
  const auto encode = [&](const std::string& text) {
    return format.EncodeUserTurn(*bytes_, text).later;
  };
  const auto expected = encode("a b");
  for (const char* space :
       {"\t",     "\n",     "\v",     "\f",     "\r",     "\x1C",   "\x1D",
        "\x1E",   "\x1F",   " ",      "\u0085", "\u00A0", "\u1680", "\u2000",
        "\u200A", "\u2028", "\u2029", "\u202F", "\u205F", "\u3000", " \n\u3000"}) {
    EXPECT_EQ(encode(std::string(space) + "a b" + space), expected);
  }
  for (const char* kept : {"\u180E", "\u200B", "\uFEFF", "\u2060", "\x1B"}) {
    EXPECT_NE(encode(std::string(kept) + "a b"), expected);
  }
  EXPECT_EQ(encode(" \n "), encode(""));
}

TEST_F(ChatFormatTest, EachRoleIsTrimmedAtItsOwnSides) {
  json file = FoldedJson();
  file["system"]["trim"] = "start";
  const ChatFormat format = Parse(file);
  EXPECT_EQ(format.EncodeBegin(*bytes_, " X "), format.EncodeBegin(*bytes_, "X "));
  EXPECT_NE(format.EncodeBegin(*bytes_, " X "), format.EncodeBegin(*bytes_, "X"));
  const UserTurn turn = format.EncodeUserTurn(*bytes_, " hi ");
  EXPECT_EQ(turn.later, format.EncodeUserTurn(*bytes_, "hi").later);
  EXPECT_EQ(turn.after_system, format.EncodeUserTurn(*bytes_, " hi").after_system);
  EXPECT_NE(turn.after_system, format.EncodeUserTurn(*bytes_, "hi").after_system);
}

TEST_F(ChatFormatTest, ASystemTextFoldedIntoTheFirstUserTurn) {
  const ChatFormat format = Parse(FoldedJson());
  EXPECT_THAT(format.EncodeBegin(*bytes_, "X"), ElementsAre(kStart, 'u', '\n', 'X', '|'));
  const UserTurn turn = format.EncodeUserTurn(*bytes_, "hi");
  EXPECT_THAT(turn.At(TurnPlace::kAfterSystem),
              ElementsAre('h', 'i', kEnd, '\n', kStart, 'a', '\n'));
  EXPECT_THAT(turn.At(TurnPlace::kLater),
              ElementsAre(kStart, 'u', '\n', 'h', 'i', kEnd, '\n', kStart, 'a', '\n'));
  EXPECT_EQ(turn.At(TurnPlace::kFirst), turn.later);
}

TEST_F(ChatFormatTest, TheFirstUserTurnStandsBehindADefaultSystemText) {
  json file = FoldedJson();
  EXPECT_EQ(Parse(file).PlaceOfFirst(), TurnPlace::kFirst);
  file["default_system"] = "D";
  EXPECT_EQ(Parse(file).PlaceOfFirst(), TurnPlace::kAfterSystem);
}

TEST_F(ChatFormatTest, WithoutASystemRoleASystemTextIsNotFed) {
  json file = ChatmlJson();
  file["system"] = nullptr;
  file["default_system"] = nullptr;
  const ChatFormat format = Parse(file);
  EXPECT_FALSE(format.system.has_value());
  EXPECT_THAT(format.EncodeBegin(*bytes_, "X"), IsEmpty());
}

// ---- tokenizers that put a space in front of a text, as SentencePiece's do ----

constexpr TokenId kMark = 300;    // special
constexpr TokenId kGreedy = 301;  // special: takes the white space before it

// Bytes; "_" in front of a text that does not go on behind text. Behind kMark only if `always`.
class SpacingTokenizer final : public Tokenizer {
 public:
  explicit SpacingTokenizer(bool always) : always_(always) {}
  std::vector<TokenId> Encode(std::string_view text) const { return Encode(text, kNoToken); }
  std::vector<TokenId> Encode(std::string_view text, TokenId previous) const override {
    const bool spaced = previous == kNoToken || (always_ && IsSpecial(previous));
    std::vector<TokenId> tokens(spaced ? 1 : 0, '_');
    for (const char c : text) tokens.push_back(static_cast<unsigned char>(c));
    return tokens;
  }
  std::string_view TokenBytes(TokenId token) const override {
    return IsSpecial(token) ? std::string_view() : std::string_view("b");
  }
  bool IsSpecial(TokenId token) const override { return token == kMark || token == kGreedy; }
  int32_t VocabSize() const override { return kGreedy + 1; }
  bool TakesSpaceBefore(TokenId token) const override { return token == kGreedy; }

 private:
  const bool always_;
};

std::string Spell(const std::vector<TokenId>& tokens) {
  std::string text;
  for (const TokenId token : tokens) {
    text += token == kMark     ? "[M]"
            : token == kGreedy ? "[G]"
                               : std::string(1, static_cast<char>(token));
  }
  return text;
}

// Zephyr's shape: roles are text, each turn ends with [M] "\n".
ChatFormat TextRoles() {
  ChatFormat format;
  format.system = ChatRole{{"s:"}, {kMark, "\n"}};
  format.user = {{"u:"}, {kMark, "\n"}};
  format.assistant = {{"a:"}, {kMark, "\n"}};
  return format;
}

TEST(ChatFormatSpacing, ATurnBeginsWithASpaceOnlyWhereNoTextStandsBefore) {
  const SpacingTokenizer always(true);
  const ChatFormat format = TextRoles();
  EXPECT_EQ(Spell(format.EncodeBegin(always, "X")), "_s:X[M]_\n");
  const UserTurn turn = format.EncodeUserTurn(always, "hi");
  EXPECT_EQ(Spell(turn.At(TurnPlace::kFirst)), "_u:hi[M]_\na:");
  EXPECT_EQ(Spell(turn.At(TurnPlace::kAfterSystem)), "u:hi[M]_\na:");
  EXPECT_EQ(Spell(turn.At(TurnPlace::kLater)), "u:hi[M]_\na:");
}

TEST(ChatFormatSpacing, ASpecialTokenBeforeMayCallForTheSpaceToo) {
  ChatFormat format = TextRoles();
  format.begin = {kMark};
  format.assistant.suffix = {kMark};
  const auto first = [&](bool always) {
    return Spell(format.EncodeUserTurn(SpacingTokenizer(always), "hi").At(TurnPlace::kFirst));
  };
  EXPECT_EQ(first(true), "_u:hi[M]_\na:");
  EXPECT_EQ(first(false), "u:hi[M]\na:");
}

TEST(ChatFormatSpacing, ABeginningOfTheTokenizersOwnIsLeftOutOfAccount) {
  const SpacingTokenizer first(false);
  ChatFormat plain;
  plain.begin = {kMark};
  plain.begin_is_tokenizers = true;
  plain.system = ChatRole();
  const UserTurn turn = plain.EncodeUserTurn(first, "hi");
  EXPECT_EQ(Spell(turn.At(TurnPlace::kFirst)), "_hi");
  EXPECT_EQ(Spell(turn.At(TurnPlace::kLater)), "hi");
  EXPECT_EQ(Spell(plain.EncodeBegin(first, "X")), "[M]_X");
  EXPECT_EQ(Spell(plain.EncodeBegin(first, std::nullopt)), "[M]");
}

TEST(ChatFormatSpacing, ABeginningOfTheFormatStandsBeforeTurnsWithoutPrefixToo) {
  ChatFormat format;
  format.begin = {kMark};
  format.system = ChatRole();
  format.assistant.suffix = {kMark};
  const SpacingTokenizer first(false);
  EXPECT_EQ(Spell(format.EncodeUserTurn(first, "hi").At(TurnPlace::kFirst)), "hi");
  EXPECT_EQ(Spell(format.EncodeBegin(first, "X")), "[M]X");
}

TEST(ChatFormatSpacing, TheEndOfACutReplyGoesOnFromIt) {
  ChatFormat format = TextRoles();
  format.assistant.suffix = {" ", kMark, "\n"};
  const SpacingTokenizer always(true);
  EXPECT_EQ(Spell(format.EncodeEndOfReply(always, std::vector<TokenId>{'x'})), " [M]_\n");
  EXPECT_EQ(Spell(format.EncodeEndOfReply(always, std::vector<TokenId>{kMark})), "_\n");
}

TEST(ChatFormatSpacing, WhiteSpaceBeforeATokenThatTakesItIsNotFed) {
  ChatFormat format = TextRoles();
  format.user.suffix = {" \n", kGreedy};
  format.assistant.prefix = {};
  EXPECT_EQ(Spell(format.EncodeUserTurn(SpacingTokenizer(false), "hi \t").later), "u:hi[G]");
  // White_Space, as `tokenizers` has it: not Python's U+001C.
  EXPECT_EQ(Spell(format.EncodeUserTurn(SpacingTokenizer(false), "hi\x1C").later), "u:hi\x1C[G]");
}

// Everything empty: text as it is.
json PlainJson() {
  json file = ChatmlJson();
  const json empty = {{"prefix", json::array()}, {"suffix", json::array()}};
  for (const char* role : {"system", "user", "assistant"}) file[role] = empty;
  file["default_system"] = nullptr;
  return file;
}

// The lowest token that is not special is an added one: behind those a space is put, behind a reply
// none.
TEST_F(ChatFormatTest, ATurnBehindAReplyGoesOnWhateverTokensAreAdded) {
  const json metaspace = {
      {"type", "Metaspace"}, {"replacement", "▁"}, {"prepend_scheme", "always"}};
  const TokenId without = 2, with = 4;
  json file;
  file["pre_tokenizer"] = file["decoder"] = metaspace;
  file["model"] = {{"type", "BPE"},
                   {"vocab", {{"<s>", 0}, {"<mask>", 1}, {"a", without}, {"▁", 3}, {"▁a", with}}},
                   {"merges", {"▁ a"}}};
  file["added_tokens"] = {{{"id", 0}, {"content", "<s>"}, {"special", true}},
                          {{"id", 1}, {"content", "<mask>"}, {"special", false}}};
  const UserTurn turn = Parse(PlainJson()).EncodeUserTurn(*MakeTokenizer(file), "a");
  EXPECT_THAT(turn.At(TurnPlace::kFirst), ElementsAre(with));
  EXPECT_THAT(turn.At(TurnPlace::kLater), ElementsAre(without));
}

TEST_F(ChatFormatTest, APlainFormatAddsNothing) {
  const ChatFormat format = Parse(PlainJson());
  EXPECT_THAT(format.EncodeBegin(*bytes_, std::nullopt), IsEmpty());
  EXPECT_THAT(format.EncodeUserTurn(*bytes_, "hi").later, ElementsAre('h', 'i'));
  EXPECT_THAT(format.EncodeEndOfReply(*bytes_, std::vector<TokenId>{'x'}), IsEmpty());
}

TEST_F(ChatFormatTest, ReadsEveryField) {
  const ChatFormat format = Parse(ChatmlJson());
  EXPECT_EQ(format.name, "chatml");
  EXPECT_EQ(format.default_system, "D");
  EXPECT_THAT(format.stop_tokens, ElementsAre(kEnd));
}

TEST_F(ChatFormatTest, ReadsWhoseTheBeginningIs) {
  json file = ChatmlJson();
  EXPECT_FALSE(Parse(file).begin_is_tokenizers);
  file["name"] = "plain";
  EXPECT_TRUE(Parse(file).begin_is_tokenizers) << "as older files mean it";
  file["begin_is_tokenizers"] = false;
  EXPECT_FALSE(Parse(file).begin_is_tokenizers);
}

TEST_F(ChatFormatTest, ReadsVersion1WithItsOneTrim) {
  for (const bool trim : {false, true}) {
    json file = ChatmlJson();
    for (const char* role : {"system", "user"}) file[role]["trim"] = trim ? "both" : "none";
    const ChatFormat now = Parse(file), old = Parse(Version1(ChatmlJson(), trim));
    EXPECT_EQ(old.EncodeBegin(*bytes_, " X "), now.EncodeBegin(*bytes_, " X "));
    EXPECT_EQ(old.EncodeUserTurn(*bytes_, " hi ").later, now.EncodeUserTurn(*bytes_, " hi ").later);
  }
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
        Fault{"Version", "/format_version", "3", "format_version 3"},
        Fault{"Name", "/name", "1", "name"},
        Fault{"Trim", "/user/trim", "\"all\"", "user.trim is none of"},
        Fault{"SystemTrim", "/system/trim", "true", "system.trim is none of"},
        Fault{"System", "/system", "null", "default_system is given, but system is null"},
        Fault{"AfterSystem", "/user_after_system", "{}", "user_after_system.prefix is no list"},
        Fault{"BeginIs", "/begin_is_tokenizers", "1", "begin_is_tokenizers is no boolean"},
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

TEST(ChatFormatParse, RefusesVersion1WithoutItsTrim) {
  json file = Version1(ChatmlJson(), false);
  file["trim"] = "none";
  EXPECT_THAT(std::string(ParseChatFormat(file.dump(), 257).status().message()),
              HasSubstr("trim is no boolean"));
}

TEST(ChatFormatParse, RefusesWhatIsNoJson) {
  for (const char* text : {"", "{", "[]", "{}"}) {
    EXPECT_EQ(ParseChatFormat(text, 257).status().code(), absl::StatusCode::kInvalidArgument)
        << text;
  }
}

TEST(ChatFormatParse, RefusesWhatIsNestedTooDeeply) {
  json file = ChatmlJson();
  file["begin"] = {{{"token", "nested"}}};
  std::string text = file.dump();
  text.replace(text.find("\"nested\""), 8, NestedJson(1'000'000));
  EXPECT_EQ(ParseChatFormat(text, 257).status().message(),
            "chat_format.json: is nested too deeply: more than 100 levels");
}

}  // namespace
}  // namespace sinkstream
