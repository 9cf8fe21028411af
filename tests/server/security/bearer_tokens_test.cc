#include "server/security/bearer_tokens.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sinkstream {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr char kPath[] = "tokens.txt";
constexpr char kAlice[] = "alice-token-0123";
constexpr char kBob[] = "bob-token-456789";

BearerTokens Parsed(const std::string& text) {
  auto tokens = BearerTokens::Parse(text, kPath);
  EXPECT_TRUE(tokens.ok()) << tokens.status();
  return *std::move(tokens);
}

std::string ParseFault(const std::string& text) {
  const auto tokens = BearerTokens::Parse(text, kPath);
  EXPECT_EQ(tokens.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(tokens.status().message());
}

TEST(BearerTokens, FindsThePrincipalOfAToken) {
  const BearerTokens tokens = Parsed(std::string("alice ") + kAlice + "\nbob\t " + kBob + "\r\n");
  EXPECT_EQ(tokens.PrincipalOf(kAlice), "alice");
  EXPECT_EQ(tokens.PrincipalOf(kBob), "bob");
}

TEST(BearerTokens, NothingButTheWholeTokenWillDo) {
  const BearerTokens tokens = Parsed(std::string("alice ") + kAlice);
  const std::string token = kAlice;
  for (const std::string& wrong :
       {std::string(), token.substr(0, token.size() - 1), token + "x", "x" + token,
        std::string("ALICE-TOKEN-0123"), std::string(kBob)}) {
    EXPECT_EQ(tokens.PrincipalOf(wrong), "") << wrong;
  }
}

TEST(BearerTokens, PassesOverCommentsAndBlankLines) {
  const BearerTokens tokens = Parsed(std::string("# who may\n\n  \nalice ") + kAlice + "\n#\n");
  EXPECT_EQ(tokens.PrincipalOf(kAlice), "alice");
}

TEST(BearerTokens, APrincipalMayHaveAnOldAndANewToken) {
  const BearerTokens tokens = Parsed(std::string("alice ") + kAlice + "\nalice " + kBob);
  EXPECT_EQ(tokens.PrincipalOf(kAlice), "alice");
  EXPECT_EQ(tokens.PrincipalOf(kBob), "alice");
}

TEST(BearerTokens, NamesFileAndLineOfABadLineAndNotItsToken) {
  const std::string good = std::string("alice ") + kAlice + "\n";
  const struct {
    std::string line, told;
  } faults[] = {
      {"secret-without-principal", "must be `PRINCIPAL TOKEN`"},
      {"bob secret-token-000000 x", "must be `PRINCIPAL TOKEN`"},
      {"bob:x secret-token-000000", "the principal must be"},
      {std::string(65, 'b') + " secret-token-000000", "the principal must be"},
      {"bob secret", "the token is 6 characters long; must be 16 to 1024"},
      {"bob secret" + std::string(1024, 'x'), "the token is 1030 characters long"},
      {"bob secret\"token,000000", "the token must be of letters"},
  };
  for (const auto& fault : faults) {
    const std::string told = ParseFault(good + "# a comment\n" + fault.line + "\n");
    EXPECT_THAT(told, testing::StartsWith("tokens.txt:3: " + fault.told));
    EXPECT_THAT(told, Not(HasSubstr("secret")));
  }
}

TEST(BearerTokens, ATokenIsOfOnePrincipal) {
  EXPECT_EQ(ParseFault(std::string("alice ") + kAlice + "\n\nbob " + kAlice),
            "tokens.txt:3: the token is that of line 1");
}

TEST(BearerTokens, AFileWithoutTokensIsRefused) {
  EXPECT_EQ(ParseFault(""), "tokens.txt: holds no token");
  EXPECT_EQ(ParseFault("# nobody yet\n"), "tokens.txt: holds no token");
}

TEST(BearerTokens, ThereIsAMostOfTokens) {
  std::string text;
  for (size_t i = 0; i <= BearerTokens::kMostTokens; ++i) {
    text += "p token-token-token-" + std::to_string(i) + "\n";
  }
  EXPECT_EQ(ParseFault(text), "tokens.txt:4097: more than 4096 tokens");
}

TEST(BearerToken, IsWhatStandsBehindTheScheme) {
  EXPECT_EQ(BearerToken("Bearer abc"), "abc");
  EXPECT_EQ(BearerToken("bearer  abc "), "abc");
  for (const char* other : {"", "abc", "Basic abc", "Bearer", "Bearer ", "Bearerabc"}) {
    EXPECT_EQ(BearerToken(other), "") << other;
  }
}

}  // namespace
}  // namespace sinkstream
