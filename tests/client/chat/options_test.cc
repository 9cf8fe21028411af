#include "client/chat/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace sinkstream {
namespace {

using testing::HasSubstr;

ChatOptions OptionsOf(const std::vector<const char*>& arguments) {
  ChatOptions options;
  EXPECT_EQ(ParseFlags(ChatFlags(&options), arguments), absl::OkStatus());
  return options;
}

std::string Complaint(const char* argument) {
  ChatOptions options;
  const char* const arguments[] = {argument};
  return std::string(ParseFlags(ChatFlags(&options), arguments).message());
}

TEST(ChatFlagsTest, WithoutAnyNothingIsAskedOfTheServer) {
  const ChatOptions options = OptionsOf({});
  EXPECT_EQ(options.server, "127.0.0.1:50051");
  EXPECT_EQ(options.wait, absl::ZeroDuration());
  EXPECT_FALSE(options.check || options.stats || options.credentials.insecure_token);
  EXPECT_FALSE(options.session || options.system || options.sinks || options.window);
  EXPECT_FALSE(options.temperature || options.top_k || options.top_p || options.seed ||
               options.max_tokens);
}

TEST(ChatFlagsTest, AreTakenInEitherSpelling) {
  for (const auto& arguments :
       {std::vector<const char*>{"--tls-ca=a", "--tls-certificate=c", "--tls-key=k",
                                 "--token-file=t", "--top-k=3", "--top-p=0.5", "--max-tokens=7",
                                 "--insecure-token"},
        std::vector<const char*>{"--tls_ca=a", "--tls_certificate=c", "--tls_key=k",
                                 "--token_file=t", "--top_k=3", "--top_p=0.5", "--max_tokens=7",
                                 "--insecure_token"}}) {
    const ChatOptions options = OptionsOf(arguments);
    EXPECT_EQ(options.credentials.tls_ca, "a");
    EXPECT_EQ(options.credentials.tls_certificate, "c");
    EXPECT_EQ(options.credentials.tls_key, "k");
    EXPECT_EQ(options.credentials.token_file, "t");
    EXPECT_TRUE(options.credentials.insecure_token);
    EXPECT_EQ(options.top_k, 3);
    EXPECT_EQ(options.top_p, 0.5);
    EXPECT_EQ(options.max_tokens, 7);
  }
}

TEST(ChatFlagsTest, SwitchesStandAloneOrHaveTheirValueJoined) {
  const ChatOptions on = OptionsOf({"--check", "--stats", "--wait", "2m"});
  EXPECT_TRUE(on.check && on.stats);
  EXPECT_EQ(on.wait, absl::Minutes(2));
  const ChatOptions off = OptionsOf({"--check=false", "--stats=no", "--insecure-token=no"});
  EXPECT_FALSE(off.check || off.stats || off.credentials.insecure_token);
}

TEST(ChatFlagsTest, WhatTheServerJudgesIsHandedOn) {
  const ChatOptions options =
      OptionsOf({"--sinks=-1", "--window=-9223372036854775808", "--temperature=-2", "--top_k=-3",
                 "--top_p=7", "--seed=18446744073709551615", "--max_tokens=0"});
  EXPECT_EQ(options.sinks, -1);
  EXPECT_EQ(options.window, INT64_MIN);
  EXPECT_EQ(options.temperature, -2);
  EXPECT_EQ(options.top_k, -3);
  EXPECT_EQ(options.top_p, 7);
  EXPECT_EQ(options.seed, UINT64_MAX);
  EXPECT_EQ(options.max_tokens, 0);
}

TEST(ChatFlagsTest, AnEmptyValueIsNone) {
  const ChatOptions options = OptionsOf({"--session=", "--system=", "--sinks=", "--temperature="});
  EXPECT_FALSE(options.session || options.system || options.sinks || options.temperature);
}

TEST(ChatFlagsTest, WhatNoServerCouldReadIsNamed) {
  EXPECT_EQ(Complaint("--server=localhost"),
            "--server: is 'localhost'; must be ADDRESS:PORT, the port from 1 to 65535");
  EXPECT_EQ(Complaint("--temperature=hot"), "--temperature: is 'hot'; must be a number");
  EXPECT_THAT(Complaint("--sinks=2147483648"), HasSubstr("in [-2147483648, 2147483647]"));
  EXPECT_EQ(Complaint("--seed"), "--seed: has no value");
  EXPECT_EQ(Complaint("--tls_ca="), "--tls-ca: is ''; must not be empty");
  EXPECT_EQ(Complaint("--nostats"), "--nostats is not a flag; --help lists them");
}

TEST(ChatFlagsTest, AreAllDescribed) {
  ChatOptions options;
  const std::string help = DescribeFlags(ChatFlags(&options));
  for (const char* flag :
       {"server ", "tls-ca ", "tls-certificate ", "tls-key ", "token-file ", "insecure-token\n",
        "wait ", "check\n", "session ", "system ", "sinks ", "window ", "temperature ", "top-k ",
        "top-p ", "seed ", "max-tokens ", "stats\n"}) {
    EXPECT_THAT(help, HasSubstr(std::string("  --") + flag));
  }
}

}  // namespace
}  // namespace sinkstream
