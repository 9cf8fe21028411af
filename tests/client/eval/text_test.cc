// Texts as they come from files, and as token ids.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cctype>

#include "client/tool/text_file.h"
#include "client/tool/tokenize.h"
#include "tests/scratch_files.h"

namespace sinkstream::eval {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::string FileOf(const std::string& content) {
  static const ScratchFiles files;
  return files.Write("text", content);
}

TEST(ReadTextTest, SkipsCharactersNotBytes) {
  EXPECT_EQ(*ReadText(FileOf("a\u00e9\U0001f600b"), 3), "b");
  EXPECT_EQ(*ReadText(FileOf("plain"), 0), "plain");
}

TEST(ReadTextTest, NamesTheFileAndWhatIsWrongWithIt) {
  const auto message = [](const absl::StatusOr<std::string>& text) {
    return std::string(text.status().message());
  };
  EXPECT_EQ(message(ReadText("/none", 0)), "/none: cannot read: No such file or directory");
  EXPECT_EQ(message(ReadText("/", 0)), "/: cannot read: Is a directory");
  const std::string path = FileOf("");
  EXPECT_EQ(message(ReadText(path, 0)), path + ": the file is empty");
  EXPECT_EQ(message(ReadText(FileOf("caf\351"), 0)), path + ": is not UTF-8");
  EXPECT_EQ(message(ReadText(FileOf("abc"), 3)),
            path + ": has no more than the 3 characters to skip");
}

using Ids = std::vector<int32_t>;

int32_t IdOf(const std::string& token) {
  return static_cast<int32_t>(std::hash<std::string>()(token) & 0x7fffffff);
}

// As byte-level BPE splits: a word takes the space before it.
absl::StatusOr<Ids> SplitWords(const std::string& text) {
  Ids ids;
  for (size_t begin = 0, end; begin < text.size(); begin = end) {
    end = begin + 1;
    while (end < text.size() && std::isalpha(text[begin] == ' ' ? text[end] : text[begin]) &&
           std::isalpha(text[end])) {
      ++end;
    }
    ids.push_back(IdOf(text.substr(begin, end - begin)));
  }
  return ids;
}

// As SentencePiece does: a space is put before the text.
absl::StatusOr<Ids> PrefixSpace(const std::string& text) { return SplitWords(" " + text); }

// Nothing can be cut: the first id tells of the whole text.
absl::StatusOr<Ids> Whole(const std::string& text) { return Ids{IdOf(text)}; }

std::string Prose() {
  std::string text;
  for (int i = 0; i < 400; ++i) {
    text += i % 7 == 0 ? "well,\n\nhe " : "went over the  bridge ";
    text += std::string(static_cast<size_t>(i % 11 + 1), static_cast<char>('a' + i % 26));
    text += i % 5 == 0 ? ". " : " ";
  }
  return text;
}

TEST(TokenizeTextTest, APieceIsNeverLongerThanAllowed) {
  size_t longest = 0;
  const auto tokenize = [&](const std::string& text) {
    longest = std::max(longest, text.size());
    return SplitWords(text);
  };
  EXPECT_EQ(*TokenizeText(Prose(), INT64_MAX, 1500, tokenize), *SplitWords(Prose()));
  EXPECT_LE(longest, 1500u);
}

TEST(TokenizeTextTest, CutsDoNotShowInTheIds) {
  for (const size_t piece_bytes : {100, 333, 1000, 100000}) {
    EXPECT_EQ(*TokenizeText(Prose(), INT64_MAX, piece_bytes, SplitWords), *SplitWords(Prose()));
    EXPECT_EQ(*TokenizeText(Prose(), INT64_MAX, piece_bytes, PrefixSpace), *PrefixSpace(Prose()));
  }
}

TEST(TokenizeTextTest, ReadsNoMoreThanItIsAskedFor) {
  const Ids all = *SplitWords(Prose());
  EXPECT_EQ(*TokenizeText(Prose(), 50, 300, SplitWords), Ids(all.begin(), all.begin() + 50));
}

TEST(TokenizeTextTest, ATextWithoutSpacesIsCutBetweenCharacters) {
  std::string text;
  for (int i = 0; i < 300; ++i) text += "\u4f60";
  const auto bytes = [](const std::string& part) -> absl::StatusOr<Ids> {
    EXPECT_TRUE(IsCharacterBoundary(part, 0));
    return Ids(part.begin(), part.end());
  };
  EXPECT_EQ(*TokenizeText(text, INT64_MAX, 100, bytes), Ids(text.begin(), text.end()));
}

TEST(TokenizeTextTest, SaysSoWhereNoCutLeavesTheTokensAlone) {
  const auto ids = TokenizeText(Prose(), INT64_MAX, 1000, Whole);
  EXPECT_EQ(ids.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(ids.status().message()),
              AllOf(HasSubstr("1000 bytes"), HasSubstr("cut")));
}

}  // namespace
}  // namespace sinkstream::eval
