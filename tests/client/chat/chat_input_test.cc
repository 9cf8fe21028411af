#include "client/chat/chat_input.h"

#include <gtest/gtest.h>

namespace sinkstream {
namespace {

std::optional<ChatInput> Parse(const std::string& line) { return ChatInputParser().Push(line); }

TEST(ChatInputTest, ALineIsText) {
  EXPECT_EQ(Parse("  what is 1/2? "), ChatInput("  what is 1/2? "));
}

TEST(ChatInputTest, AnEmptyLineIsNothing) {
  EXPECT_EQ(Parse(""), std::nullopt);
  EXPECT_EQ(Parse(" \t"), std::nullopt);
}

TEST(ChatInputTest, ABackslashAtTheEndJoinsLines) {
  ChatInputParser parser;
  EXPECT_EQ(parser.Push("one\\"), std::nullopt);
  EXPECT_TRUE(parser.Continues());
  EXPECT_EQ(parser.Push("two\\"), std::nullopt);
  EXPECT_EQ(parser.Push("three"), ChatInput("one\ntwo\nthree"));
  EXPECT_FALSE(parser.Continues());
  EXPECT_EQ(parser.Push("four"), ChatInput("four"));
}

TEST(ChatInputTest, ASlashBeginsACommand) {
  EXPECT_EQ(Parse("/help"), ChatInput(ChatCommand::kHelp));
  EXPECT_EQ(Parse("/stats"), ChatInput(ChatCommand::kStats));
  EXPECT_EQ(Parse("/new"), ChatInput(ChatCommand::kNew));
  EXPECT_EQ(Parse("/detach"), ChatInput(ChatCommand::kDetach));
  EXPECT_EQ(Parse("/quit  "), ChatInput(ChatCommand::kQuit));
}

TEST(ChatInputTest, ACommandThatDoesNotExistIsNamed) {
  EXPECT_EQ(Parse("/quiet"), ChatInput(UnknownCommand{"/quiet"}));
}

TEST(ChatInputTest, TwoSlashesAreTextThatBeginsWithOne) {
  EXPECT_EQ(Parse("//etc is a folder"), ChatInput("/etc is a folder"));
}

TEST(ChatInputTest, TheDescriptionNamesEveryCommand) {
  const std::string description = DescribeCommands();
  for (const char* name : {"/help", "/stats", "/new", "/detach", "/quit"}) {
    EXPECT_NE(description.find(name), std::string::npos) << name;
  }
}

}  // namespace
}  // namespace sinkstream
