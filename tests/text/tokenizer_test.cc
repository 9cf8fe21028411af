#include "engine/text/tokenizer.h"

#include <algorithm>
#include <cstdlib>
#include <ostream>
#include <string>
#include <vector>

#include "engine/text/regex.h"
#include "engine/text/tokenizer_json.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/text/tiny_tokenizer.h"

namespace sinkstream {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::ResultOf;

json SplitJson(const std::string& regex) {
  return {{"type", "Split"},
          {"pattern", {{"Regex", regex}}},
          {"behavior", "Isolated"},
          {"invert", false}};
}

json SequenceJson(const json& first) {
  const json byte_level = TinyTokenizerJson()["pre_tokenizer"];
  return {{"type", "Sequence"}, {"pretokenizers", {first, byte_level}}};
}

// The pieces that `pre_tokenizer` makes of `text`, seen through a model that merges nothing but
// knows whole words.
std::vector<std::string> Pieces(const json& pre_tokenizer, const std::string& text,
                                const std::vector<std::string>& words) {
  json file = TinyTokenizerJson();
  file["pre_tokenizer"] = pre_tokenizer;
  file["model"]["ignore_merges"] = true;
  for (const std::string& word : words)
    file["model"]["vocab"][word] = 300 + file["model"]["vocab"].size();
  const auto tokenizer = MakeTokenizer(file);
  std::vector<std::string> pieces;
  for (TokenId id : tokenizer->Encode(text)) pieces.emplace_back(tokenizer->TokenBytes(id));
  return pieces;
}

TEST(TokenizerTest, LowestRankMergesFirstAndTheLeftmostOfEquals) {
  const auto tokenizer = MakeTokenizer(TinyTokenizerJson({{"b", "c"}, {"a", "b"}, {"a", "a"}}));
  EXPECT_THAT(tokenizer->Encode("abc"), ElementsAre('a', 256));
  EXPECT_THAT(tokenizer->Encode("abab"), ElementsAre(257, 257));
  EXPECT_THAT(tokenizer->Encode("aaa"), ElementsAre(258, 'a'));
}

TEST(TokenizerTest, MergesBuildOnMerges) {
  const auto tokenizer =
      MakeTokenizer(TinyTokenizerJson({{"a", "b"}, {"ab", "c"}, {"abc", "abc"}}));
  EXPECT_THAT(tokenizer->Encode("abcabcab"), ElementsAre(258, 256));
}

TEST(TokenizerTest, ReadsBothFormsOfMerges) {
  json file = TinyTokenizerJson({{"a", "b"}});
  file["model"]["merges"] = {"#version: 0.2", "a b"};
  EXPECT_THAT(MakeTokenizer(file)->Encode("ab"), ElementsAre(256));
}

TEST(TokenizerTest, EmptyTextHasNoTokens) {
  EXPECT_TRUE(MakeTokenizer(TinyTokenizerJson())->Encode("").empty());
}

TEST(TokenizerTest, IgnoreMergesTakesWholeWords) {
  json file = TinyTokenizerJson({{"b", "c"}});
  file["model"]["vocab"]["abc"] = 300;
  EXPECT_THAT(MakeTokenizer(file)->Encode("abc"), ElementsAre('a', 256));
  file["model"]["ignore_merges"] = true;
  EXPECT_THAT(MakeTokenizer(file)->Encode("abc"), ElementsAre(300));
}

TEST(TokenizerTest, TextNeverBecomesASpecialToken) {
  json file = TinyTokenizerJson();
  file["model"]["vocab"][kSpecialText] = 256;
  for (bool ignore_merges : {false, true}) {
    file["model"]["ignore_merges"] = ignore_merges;
    const auto tokenizer = MakeTokenizer(file);
    ASSERT_TRUE(tokenizer->IsSpecial(256));
    EXPECT_THAT(tokenizer->Encode(kSpecialText), ElementsAre('<', '|', 'e', 'n', 'd', '|', '>'));
  }
}

TEST(TokenizerTest, NoMergeMakesASpecialToken) {
  json file = TinyTokenizerJson({{"a", "b"}, {"b", "c"}});
  file["added_tokens"][0] = {{"id", 256}, {"content", "ab"}, {"special", true}};
  EXPECT_THAT(MakeTokenizer(file)->Encode("abc"), ElementsAre('a', 257));
}

TEST(TokenizerTest, TextBecomesAddedTokensThatAreNotSpecial) {
  json file = TinyTokenizerJson({{"a", "b"}});
  file["added_tokens"].push_back({{"id", 300}, {"content", "  "}, {"special", false}});
  file["added_tokens"].push_back({{"id", 301}, {"content", "   "}, {"special", false}});
  const auto tokenizer = MakeTokenizer(file);
  EXPECT_THAT(tokenizer->Encode("ab  ab     "), ElementsAre(256, 300, 256, 301, 300));
  EXPECT_FALSE(tokenizer->IsSpecial(300));
  EXPECT_EQ(tokenizer->TokenBytes(300), "  ");
}

TEST(TokenizerTest, AnAddedTokenMayTakeTheWhiteSpaceAroundIt) {
  json file = TinyTokenizerJson();
  file["added_tokens"].push_back(
      {{"id", 300}, {"content", "<x>"}, {"special", false}, {"lstrip", true}, {"rstrip", true}});
  file["added_tokens"][0]["rstrip"] = true;
  const auto tokenizer = MakeTokenizer(file);
  EXPECT_THAT(tokenizer->Encode("a \n<x>\u3000b"), ElementsAre('a', 300, 'b'));
  EXPECT_THAT(tokenizer->Encode(" \nb ", SpecialToken(*tokenizer)), ElementsAre('b', ' '));
  EXPECT_TRUE(tokenizer->TakesSpaceBefore(300));
  EXPECT_FALSE(tokenizer->TakesSpaceBefore(256));
}

// Characters a, b and the space, "▁a", tokens for bytes, <s>: as LLaMA's.
json LlamaJson() {
  json vocab = {{"<unk>", 0}, {"<s>", 1}, {"a", 300}, {"b", 301}, {"▁", 302}, {"▁a", 303}};
  for (int byte = 0; byte < 256; ++byte) vocab[ByteToken(static_cast<uint8_t>(byte))] = 2 + byte;
  json file;
  file["model"] = {{"type", "BPE"},
                   {"vocab", vocab},
                   {"merges", {"▁ a"}},
                   {"unk_token", "<unk>"},
                   {"byte_fallback", true}};
  file["added_tokens"] = {{{"id", 1}, {"content", "<s>"}, {"special", true}}};
  const json strip = {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}};
  const json replace = {{"type", "Replace"}, {"pattern", {{"String", "▁"}}}, {"content", " "}};
  file["decoder"] = {
      {"type", "Sequence"},
      {"decoders", {replace, {{"type", "ByteFallback"}}, {{"type", "Fuse"}}, strip}}};
  return file;
}

json MetaspaceJson(const std::string& scheme) {
  return {
      {"type", "Metaspace"}, {"replacement", "▁"}, {"prepend_scheme", scheme}, {"split", false}};
}

TEST(TokenizerTest, ASpaceIsPutBeforeTheTextsThatTheSchemeSays) {
  json file = LlamaJson();
  for (const std::string scheme : {"first", "always", "never"}) {
    file["pre_tokenizer"] = MetaspaceJson(scheme);
    const auto tokenizer = MakeTokenizer(file);
    const TokenId with = 303;
    const TokenId without = 300;
    EXPECT_THAT(tokenizer->Encode("a"), ElementsAre(scheme == "never" ? without : with));
    EXPECT_THAT(tokenizer->Encode("a", 1), ElementsAre(scheme == "always" ? with : without));
    EXPECT_THAT(tokenizer->Encode("a", 301), ElementsAre(without)) << "the text goes on";
    EXPECT_THAT(tokenizer->Encode(" a"), ElementsAre(with)) << "a space is there already";
  }
}

// The package puts no space where the text's first characters were taken away, or replaced
// together.
TEST(TokenizerTest, RefusesASpaceAtTheStartOfATextThatReplaceMayMove) {
  json file = LlamaJson();
  const auto parse = [&](const char* scheme, const char* pattern, const char* content) {
    file["pre_tokenizer"] = MetaspaceJson(scheme);
    const json replace = {
        {"type", "Replace"}, {"pattern", {{"String", pattern}}}, {"content", content}};
    file["normalizer"] = {{"type", "Sequence"}, {"normalizers", {{{"type", "NFC"}}, replace}}};
    return ParseTokenizer(file.dump()).status();
  };
  for (const auto& [pattern, content] : {std::pair("x", ""), std::pair("``", "abc")}) {
    EXPECT_EQ(parse("first", pattern, content).message(),
              "tokenizer: pre_tokenizer Metaspace: prepend_scheme first is supported behind a "
              "normalizer Replace only of one character by some");
    EXPECT_TRUE(parse("always", pattern, content).ok());
    EXPECT_TRUE(parse("never", pattern, content).ok());
  }
  EXPECT_TRUE(parse("first", " ", "▁").ok());
  EXPECT_TRUE(parse("first", "字", "ab").ok());
}

TEST(TokenizerTest, PrependPutsASpaceBeforeEveryRun) {
  json file = LlamaJson();
  const json prepend = {{"type", "Prepend"}, {"prepend", "▁"}};
  const json replace = {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "▁"}};
  file["normalizer"] = {{"type", "Sequence"}, {"normalizers", {prepend, replace}}};
  file["added_tokens"].push_back({{"id", 310}, {"content", "<x>"}, {"special", false}});
  const auto tokenizer = MakeTokenizer(file);
  EXPECT_THAT(tokenizer->Encode("a<x>a"), ElementsAre(303, 310, 303));
  EXPECT_THAT(tokenizer->Encode(" a", 1), ElementsAre(302, 303));
  EXPECT_THAT(tokenizer->Encode("a", 301), ElementsAre(300));
  EXPECT_THAT(tokenizer->Encode("", 1), ElementsAre());
}

TEST(TokenizerTest, ACharacterWithoutTokenBecomesItsBytes) {
  json file = LlamaJson();
  const auto tokenizer = MakeTokenizer(file);
  EXPECT_THAT(tokenizer->Encode("aé"), ElementsAre(300, 2 + 0xC3, 2 + 0xA9));
  EXPECT_EQ(tokenizer->TokenBytes(2 + 0xC3), "\xC3");
  file["model"]["byte_fallback"] = false;
  EXPECT_THAT(MakeTokenizer(file)->Encode("aé"), ElementsAre(300, 0));
}

TEST(TokenizerTest, TheFirstTokenOfATextLosesTheSpaceThatWasPutThere) {
  const auto tokenizer = MakeTokenizer(LlamaJson());
  EXPECT_EQ(tokenizer->TokenBytes(303), " a");
  EXPECT_EQ(tokenizer->FirstTokenBytes(303), "a");
  EXPECT_EQ(tokenizer->FirstTokenBytes(300), "a");
}

TEST(TokenizerTest, AHugeTextThatIsOneWordTakesNoQuadraticTime) {
  json file = LlamaJson();
  file["model"]["vocab"]["aa"] = 304;
  file["model"]["vocab"]["aaaa"] = 305;
  file["model"]["merges"] = {"▁ a", "a a", "aa aa"};
  const std::string text(1 << 20, 'a');
  EXPECT_EQ(MakeTokenizer(file)->Encode(text).size(), text.size() / 4);
}

TEST(TokenizerTest, SpecialTokensHaveNoBytes) {
  const auto tokenizer = MakeTokenizer(TinyTokenizerJson());
  EXPECT_EQ(tokenizer->VocabSize(), 257);
  EXPECT_TRUE(tokenizer->IsSpecial(256));
  EXPECT_EQ(tokenizer->TokenBytes(256), "");
  EXPECT_FALSE(tokenizer->IsSpecial('a'));
  EXPECT_EQ(tokenizer->TokenBytes('a'), "a");
  EXPECT_EQ(tokenizer->TokenBytes(0xF0), "\xF0");
}

TEST(TokenizerTest, AnIdOfAPaddedVocabularyHasNoTextAndIsNotSpecial) {
  const auto tokenizer = MakeTokenizer(TinyTokenizerJson({}));
  EXPECT_EQ(tokenizer->TokenBytes(tokenizer->VocabSize()), "");
  EXPECT_EQ(tokenizer->TokenBytes(1 << 30), "");
  EXPECT_FALSE(tokenizer->IsSpecial(1 << 30));
}

TEST(TokenizerTest, BytesThatTheVocabularyLacksAreDropped) {
  json file = TinyTokenizerJson();
  file["model"]["vocab"].erase("b");
  EXPECT_THAT(MakeTokenizer(file)->Encode("abc"), ElementsAre('a', 'c'));
}

TEST(TokenizerTest, ASequenceCutsPieceByPiece) {
  const json digits = {{"type", "Digits"}, {"individual_digits", true}};
  EXPECT_THAT(Pieces(SequenceJson(digits), "ab12", {"ab", "12", "ab12"}),
              ElementsAre("ab", "1", "2"));
  const json runs = {{"type", "Digits"}, {"individual_digits", false}};
  EXPECT_THAT(Pieces(SequenceJson(runs), "ab12", {"ab", "12", "ab12"}), ElementsAre("ab", "12"));
  const json literal = {{"type", "Split"},
                        {"pattern", {{"String", "."}}},
                        {"behavior", "Isolated"},
                        {"invert", false}};
  EXPECT_THAT(Pieces(SequenceJson(literal), "ab.ab", {"ab", "ab.ab"}),
              ElementsAre("ab", ".", "ab"));
}

TEST(TokenizerTest, ALookaheadSeesTheEndOfItsPieceOnly) {
  const json file = {
      {"type", "Sequence"},
      {"pretokenizers",
       {{{"type", "Digits"}, {"individual_digits", true}}, TinyTokenizerJson()["pre_tokenizer"]}}};
  json with_regex = file;
  with_regex["pretokenizers"][1]["use_regex"] = true;
  EXPECT_THAT(Pieces(with_regex, "  1", {"ĠĠ"}), ElementsAre("  ", "1"));
  EXPECT_THAT(Pieces(with_regex, "  a", {"ĠĠ", "Ġa"}), ElementsAre(" ", " a"));
}

TEST(TokenizerTest, AHugeWordTakesNoQuadraticTime) {
  const auto tokenizer =
      MakeTokenizer(TinyTokenizerJson({{"a", "a"}, {"aa", "aa"}, {"aaaa", "aaaa"}}));
  const std::string word(1 << 20, 'a');
  EXPECT_EQ(tokenizer->Encode(word).size(), word.size() / 8);
}

struct Refusal {
  const char* what;
  const char* path;   // JSON pointer
  const char* value;  // JSON
  const char* message;
};

void PrintTo(const Refusal& refusal, std::ostream* out) { *out << refusal.message; }

class RefusalTest : public testing::TestWithParam<Refusal> {};

TEST_P(RefusalTest, NamesTheComponent) {
  json file = TinyTokenizerJson({{"a", "b"}});
  file[json::json_pointer(GetParam().path)] = json::parse(GetParam().value);
  const absl::Status status = ParseTokenizer(file.dump()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(
    All, RefusalTest,
    testing::Values(
        Refusal{"WordPiece", "/model/type", R"("WordPiece")", "model WordPiece"},
        Refusal{"UnigramWithIds", "/model/type", R"("Unigram")", "model Unigram: vocab"},
        Refusal{"Dropout", "/model/dropout", "0.1", "dropout"},
        Refusal{"Prefix", "/model/continuing_subword_prefix", R"("##")",
                "continuing_subword_prefix"},
        Refusal{"Suffix", "/model/end_of_word_suffix", R"("</w>")", "end_of_word_suffix"},
        Refusal{"EmptyVocab", "/model/vocab", "{}", "vocab"},
        Refusal{"VocabList", "/model/vocab", "[1]", "vocab"},
        Refusal{"NegativeId", "/model/vocab/x", "-1", "id of token \"x\""},
        Refusal{"HugeId", "/model/vocab/x", "99999999999", "id of token \"x\""},
        Refusal{"TextId", "/model/vocab/x", R"("1")", "id of token \"x\""},
        Refusal{"SameId", "/model/vocab/x", "97", "two tokens have the id 97"},
        Refusal{"NoMerges", "/model/merges", "null", "merges"},
        Refusal{"MergeOfThree", "/model/merges/0", R"("a b c")", "malformed merge"},
        Refusal{"MergeOfNumbers", "/model/merges/0", "[1, 2]", "malformed merge"},
        Refusal{"MergeOfNothing", "/model/merges/0", R"(["a", "zz"])", "names no token"},
        Refusal{"Normalizer", "/normalizer", R"({"type": "Lowercase"})", "normalizer Lowercase"},
        Refusal{
            "NormalizerSequence", "/normalizer",
            R"({"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Precompiled"}]})",
            "normalizer Precompiled"},
        Refusal{"ReplaceRegex", "/normalizer",
                R"({"type": "Replace", "pattern": {"Regex": " +"}, "content": " "})",
                "normalizer Replace"},
        Refusal{"NoPreTokenizer", "/pre_tokenizer", "null", "ByteLevel must be both"},
        Refusal{"Metaspace", "/pre_tokenizer", R"({"type": "Metaspace"})",
                "pre_tokenizer Metaspace"},
        Refusal{"PrefixSpace", "/pre_tokenizer/add_prefix_space", "true", "add_prefix_space"},
        Refusal{"NotByteLevel", "/pre_tokenizer",
                R"({"type": "Digits", "individual_digits": true})", "ByteLevel must be both"},
        Refusal{"ByteLevelTwice", "/pre_tokenizer",
                R"({"type": "Sequence", "pretokenizers": [
                    {"type": "ByteLevel", "add_prefix_space": false, "use_regex": false},
                    {"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}]})",
                "ByteLevel is there twice"},
        Refusal{"MetaspaceInside", "/pre_tokenizer",
                R"({"type": "Sequence", "pretokenizers": [
                    {"type": "Digits", "individual_digits": true},
                    {"type": "Metaspace", "replacement": "\u2581"}]})",
                "Metaspace is supported alone"},
        Refusal{"PrependScheme", "/pre_tokenizer",
                R"({"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "last"})",
                "prepend_scheme last"},
        Refusal{
            "Removed", "/pre_tokenizer",
            R"({"type": "Split", "pattern": {"Regex": "a"}, "behavior": "Removed", "invert": false})",
            "behavior"},
        Refusal{
            "RemovedBetween", "/pre_tokenizer",
            R"({"type": "Split", "pattern": {"Regex": "a"}, "behavior": "Removed", "invert": true})",
            "behavior"},
        Refusal{
            "Inverted", "/pre_tokenizer",
            R"({"type": "Split", "pattern": {"Regex": "a"}, "behavior": "Isolated", "invert": true})",
            "invert"},
        Refusal{
            "BadRegex", "/pre_tokenizer",
            R"({"type": "Split", "pattern": {"Regex": "[z-a]"}, "behavior": "Isolated", "invert": false})",
            "regular expression"},
        Refusal{"NoDecoder", "/decoder", "null", "decoder null"},
        Refusal{"WordPieceDecoder", "/decoder", R"({"type": "WordPiece"})", "decoder WordPiece"},
        Refusal{"StripOfTwo", "/decoder",
                R"({"type": "Sequence", "decoders": [
                    {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 2, "stop": 0}]})",
                "decoder Strip"},
        Refusal{"SingleWord", "/added_tokens/0",
                R"({"id": 300, "content": "<x>", "special": false, "single_word": true})",
                "single_word"},
        Refusal{"SpacesThatTakeSpace", "/added_tokens/0",
                R"({"id": 300, "content": " \n", "special": false, "rstrip": true})",
                "lstrip or rstrip of white space alone"},
        Refusal{"SpacesThatTakeSpaceBefore", "/added_tokens/0",
                R"({"id": 300, "content": "\u3000", "special": false, "lstrip": true})",
                "lstrip or rstrip of white space alone"},
        Refusal{"AddedTokenOfOtherId", "/added_tokens/0",
                R"({"id": 300, "content": "ab", "special": true})", "another id"},
        Refusal{"AddedTokenOfSameId", "/added_tokens/0",
                R"({"id": 5, "content": "<x>", "special": true})", "two tokens have the id 5"},
        Refusal{"SpecialByte", "/added_tokens/0", R"({"id": 97, "content": "a", "special": true})",
                "is a byte's token"}),
    [](const auto& refusal) { return std::string(refusal.param.what); });

TEST(TokenizerTest, RefusesWhatIsNoJson) {
  for (const char* text : {"", "{", "[]", "null", "{\"model\": \"\xFF\"}"}) {
    EXPECT_EQ(ParseTokenizer(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

class NestingTest : public testing::TestWithParam<std::string> {};

// Copied or written where the tokenizer is put together, such a value would overflow the stack.
TEST_P(NestingTest, RefusesWhatIsNestedTooDeeply) {
  json file = TinyTokenizerJson({{"a", "b"}});
  file[json::json_pointer(GetParam())] = "nested";
  std::string text = file.dump();
  text.replace(text.find("\"nested\""), 8, NestedJson(1'000'000));
  EXPECT_EQ(ParseTokenizer(text).status().message(),
            "tokenizer: tokenizer.json is nested too deeply: more than 100 levels");
}

INSTANTIATE_TEST_SUITE_P(All, NestingTest,
                         testing::Values("/normalizer", "/pre_tokenizer", "/decoder",
                                         "/model/merges/0", "/model/vocab/x", "/unknown"));

TEST(TokenizerTest, TakesAHundredLevelsAndBracketsWithinTexts) {
  json file = TinyTokenizerJson();
  file["unknown"] = json::parse(NestedJson(99));
  file["model"]["vocab"]["\\\"" + NestedJson(200)] = 256 + 1;
  EXPECT_TRUE(ParseTokenizer(file.dump()).ok()) << ParseTokenizer(file.dump()).status();
  file["unknown"] = json::parse(NestedJson(100));
  EXPECT_FALSE(ParseTokenizer(file.dump()).ok());
}

TEST(TokenizerTest, RefusesUnkTokenWhereItWouldBeUsed) {
  json file = TinyTokenizerJson();
  file["model"]["unk_token"] = "a";
  file["model"]["byte_fallback"] = true;
  EXPECT_TRUE(ParseTokenizer(file.dump()).ok());
  file["model"]["vocab"].erase("b");
  EXPECT_THAT(std::string(ParseTokenizer(file.dump()).status().message()), HasSubstr("unk_token"));
  file["model"]["unk_token"] = nullptr;
  EXPECT_THAT(std::string(ParseTokenizer(file.dump()).status().message()),
              HasSubstr("byte_fallback"));
}

TEST(RegexTest, GivingUpIsNotTakenForNoMatch) {
  const auto regex = Regex::Compile("a*a*a*a*[bc]");
  ASSERT_TRUE(regex.ok()) << regex.status();
  const std::string long_text(5000, 'a');
  Regex::Matches gives_up(*regex, long_text);
  EXPECT_FALSE(gives_up.Next().has_value());
  EXPECT_EQ(gives_up.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(gives_up.status().message()),
              HasSubstr("from byte 0 of 5000: match limit"));
  Regex::Matches finds_none(*regex, "aaad");
  EXPECT_FALSE(finds_none.Next().has_value());
  EXPECT_TRUE(finds_none.status().ok()) << finds_none.status();
}

TEST(RegexTest, WhereAPatternGivesUpTheTextIsLeftWholeAndThatIsToldOnce) {
  json file = TinyTokenizerJson();
  file["pre_tokenizer"] = SequenceJson(SplitJson("a*a*a*a*[bc]"));
  const auto tokenizer = MakeTokenizer(file);
  const std::string long_text(5000, 'a');
  const auto lines = [](const std::string& told) {
    return std::count(told.begin(), told.end(), '\n');
  };
  GTEST_FLAG_SET(death_test_style, "threadsafe");  // a process of its own, which has told nothing
  EXPECT_EXIT(
      {
        const size_t tokens = tokenizer->Encode(long_text).size();
        std::exit(tokenizer->Encode(long_text + " ").size() == tokens + 1 ? 0 : 1);
      },
      testing::ExitedWithCode(0),
      AllOf(HasSubstr("the rest of a text is left as one piece"), ResultOf(lines, 1)));
}

// Read differently by Oniguruma and PCRE2, or able to run away.
TEST(RegexSyntaxTest, RefusesWhatTheEnginesReadDifferently) {
  for (const char* regex :
       {"^a",       "a$",          "\\ba",   "\\w",     "\\h",      "\\R",     "\\x41",
        "\\1",      "[[:alpha:]]", "[a&&b]", "[a[^b]]", "[a-[b]]",  "[[a]-b]", "[a[b-c]]",
        "[]a]",     "(a)",         "(?m:a)", "(?i:é)",  "(?i:ss)",  "(?i:ST)", "(?:a+)+",
        "(?:a|b)*", "a{2}+",       "a**",    "a{,2}",   "\\p{Han}", "\\pL",    "a\\",
        "(?:a",     "a)",          "[a",     "*",       "{"}) {
    json file = TinyTokenizerJson();
    file["pre_tokenizer"] = SequenceJson(SplitJson(regex));
    EXPECT_EQ(ParseTokenizer(file.dump()).status().code(), absl::StatusCode::kInvalidArgument)
        << regex;
  }
}

TEST(RegexSyntaxTest, TakesWhatTheyReadAlike) {
  for (const char* regex :
       {"a|b", "[^\\s\\p{L}]+", "(?:ab)?", "(?=a)b", "(?<!a)b", "a{2,3}?", "a{2}", "a++", "\\.",
        ".", "[一-龥぀-ゟ゠-ヿ]+", "\\P{Lu}\\d\\D\\S", "[!-/:-~]", "[^a[b.]c]", ""}) {
    json file = TinyTokenizerJson();
    file["pre_tokenizer"] = SequenceJson(SplitJson(regex));
    EXPECT_TRUE(ParseTokenizer(file.dump()).ok()) << regex << ParseTokenizer(file.dump()).status();
  }
}

}  // namespace
}  // namespace sinkstream
