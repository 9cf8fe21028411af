#include "engine/text/tokenizer.h"

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
        Refusal{"Unigram", "/model/type", R"("Unigram")", "model Unigram"},
        Refusal{"Dropout", "/model/dropout", "0.1", "dropout"},
        Refusal{"ByteFallback", "/model/byte_fallback", "true", "byte_fallback"},
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
        Refusal{"Normalizer", "/normalizer", R"({"type": "NFC"})", "normalizer NFC"},
        Refusal{"NoPreTokenizer", "/pre_tokenizer", "null", "pre_tokenizer null"},
        Refusal{"Metaspace", "/pre_tokenizer", R"({"type": "Metaspace"})",
                "pre_tokenizer Metaspace"},
        Refusal{"PrefixSpace", "/pre_tokenizer/add_prefix_space", "true", "add_prefix_space"},
        Refusal{"NotByteLevel", "/pre_tokenizer",
                R"({"type": "Digits", "individual_digits": true})", "without ByteLevel"},
        Refusal{"ByteLevelFirst", "/pre_tokenizer",
                R"({"type": "Sequence", "pretokenizers": [
                    {"type": "ByteLevel", "add_prefix_space": false, "use_regex": false},
                    {"type": "Digits", "individual_digits": true}]})",
                "Digits after ByteLevel"},
        Refusal{
            "Removed", "/pre_tokenizer",
            R"({"type": "Split", "pattern": {"Regex": "a"}, "behavior": "Removed", "invert": false})",
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
        Refusal{"PlainAddedToken", "/added_tokens/0/special", "false", "added token \"<|end|>\""},
        Refusal{"AddedTokenOfOtherId", "/added_tokens/0",
                R"({"id": 300, "content": "ab", "special": true})", "another id"},
        Refusal{"AddedTokenOfSameId", "/added_tokens/0",
                R"({"id": 5, "content": "<x>", "special": true})", "two tokens have the id 5"},
        Refusal{"SpecialByte", "/added_tokens/0", R"({"id": 97, "content": "a", "special": true})",
                "is a byte's token"},
        Refusal{"SpecialMerge", "/added_tokens/0",
                R"({"id": 256, "content": "ab", "special": true})", "makes a special token"}),
    [](const auto& refusal) { return std::string(refusal.param.what); });

TEST(TokenizerTest, RefusesWhatIsNoJson) {
  for (const char* text : {"", "{", "[]", "null", "{\"model\": \"\xFF\"}"}) {
    EXPECT_EQ(ParseTokenizer(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

TEST(TokenizerTest, RefusesUnkTokenWhereItWouldBeUsed) {
  json file = TinyTokenizerJson();
  file["model"]["unk_token"] = "a";
  EXPECT_TRUE(ParseTokenizer(file.dump()).ok());
  file["model"]["vocab"].erase("b");
  EXPECT_THAT(std::string(ParseTokenizer(file.dump()).status().message()), HasSubstr("unk_token"));
}

// Read differently by Oniguruma and PCRE2, or able to run away.
TEST(RegexSyntaxTest, RefusesWhatTheEnginesReadDifferently) {
  for (const char* regex :
       {"^a",          "a$",       "\\ba",  "\\w", "\\h",    "\\R",      "\\x41",   "\\1",
        "[[:alpha:]]", "[a&&b]",   "[]a]",  "(a)", "(?m:a)", "(?i:é)",   "(?i:ss)", "(?i:ST)",
        "(?:a+)+",     "(?:a|b)*", "a{2}+", "a**", "a{,2}",  "\\p{Han}", "\\pL",    "a\\",
        "(?:a",        "a)",       "[a",    "*",   "{"}) {
    json file = TinyTokenizerJson();
    file["pre_tokenizer"] = SequenceJson(SplitJson(regex));
    EXPECT_EQ(ParseTokenizer(file.dump()).status().code(), absl::StatusCode::kInvalidArgument)
        << regex;
  }
}

TEST(RegexSyntaxTest, TakesWhatTheyReadAlike) {
  for (const char* regex :
       {"a|b", "[^\\s\\p{L}]+", "(?:ab)?", "(?=a)b", "(?<!a)b", "a{2,3}?", "a{2}", "a++", "\\.",
        ".", "[一-龥぀-ゟ゠-ヿ]+", "\\P{Lu}\\d\\D\\S", "[!-/:-~]", ""}) {
    json file = TinyTokenizerJson();
    file["pre_tokenizer"] = SequenceJson(SplitJson(regex));
    EXPECT_TRUE(ParseTokenizer(file.dump()).ok()) << regex << ParseTokenizer(file.dump()).status();
  }
}

}  // namespace
}  // namespace sinkstream
