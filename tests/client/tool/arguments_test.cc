#include "client/tool/arguments.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

namespace sinkstream {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

struct Values {
  std::string text = "none";
  int64_t tokens = 5;
  std::vector<int64_t> distances;
  bool quick = false;
  absl::Duration wait = absl::Seconds(1);
  std::optional<std::string> system;
  std::optional<double> heat;
  std::optional<int32_t> few;
  std::optional<int64_t> many;
  std::optional<uint64_t> seed;
};

std::vector<Flag> FlagsOf(Values* values) {
  return {
      Required(TextFlag("text", "FILE", "what is read", &values->text)),
      IntegerFlag("skip-tokens", "N", "so many", &values->tokens, 0, 99),
      IntegersFlag("distances", "D,D", "far", &values->distances, 1),
      SwitchFlag("quick-one", "at once", &values->quick),
      DurationFlag("wait", "so long", &values->wait),
      OptionalFlag("system", "TEXT", "instructions", &values->system),
      OptionalFlag("heat", "T", "chance", &values->heat),
      OptionalFlag("few", "N", "32 bits", &values->few),
      OptionalFlag("many", "N", "64 bits", &values->many),
      OptionalFlag("seed", "N", "without a sign", &values->seed),
  };
}

Values Parse(std::vector<const char*> arguments) {
  Values values;
  arguments.push_back("--text=t");
  EXPECT_EQ(ParseFlags(FlagsOf(&values), arguments), absl::OkStatus());
  return values;
}

std::string Complaint(const std::vector<const char*>& arguments) {
  Values values;
  const absl::Status status = ParseFlags(FlagsOf(&values), arguments);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  return std::string(status.message());
}

Request Ask(const std::vector<const char*>& arguments) {
  Values values;
  return ReadRequest(FlagsOf(&values), arguments);
}

TEST(ParseFlagsTest, TakesValuesInEitherForm) {
  const Values values = Parse({"--system", "a=b", "--skip_tokens=7", "--distances=1,20"});
  EXPECT_EQ(values.system, "a=b");
  EXPECT_EQ(values.tokens, 7);
  EXPECT_THAT(values.distances, ElementsAre(1, 20));
}

TEST(ParseFlagsTest, TakesNamesInEitherSpelling) {
  EXPECT_EQ(Parse({"--skip-tokens=7"}).tokens, 7);
  EXPECT_EQ(Parse({"--skip_tokens", "8"}).tokens, 8);
  EXPECT_TRUE(Parse({"--quick_one"}).quick);
}

TEST(ParseFlagsTest, AValueMayBeginWithDashes) {
  EXPECT_EQ(Parse({"--system", "--x"}).system, "--x");
  EXPECT_EQ(Parse({"--system", "--quick-one"}).system, "--quick-one");
  EXPECT_EQ(Parse({"--system", "--"}).system, "--");
  EXPECT_EQ(Parse({"--many", "-3"}).many, -3);
}

TEST(ParseFlagsTest, TheLastValueCounts) {
  EXPECT_EQ(Parse({"--few=1", "--few=2"}).few, 2);
  EXPECT_FALSE(Parse({"--quick-one", "--quick-one=no"}).quick);
}

TEST(ParseFlagsTest, SaysWhatIsWrongInOneLine) {
  EXPECT_EQ(Complaint({"--tex=x"}), "--tex is not a flag; --help lists them");
  EXPECT_EQ(Complaint({"--no_such", "x"}), "--no_such is not a flag; --help lists them");
  EXPECT_EQ(Complaint({"--noquick-one"}), "--noquick-one is not a flag; --help lists them");
  EXPECT_EQ(Complaint({"--", "--tex"}), "-- is not a flag; --help lists them");
  EXPECT_EQ(Complaint({"--help=text"}), "--help takes no value");
  EXPECT_EQ(Complaint({"--version=1"}), "--version takes no value");
  EXPECT_EQ(Complaint({"x"}), "unexpected argument 'x'; --help lists the flags");
  EXPECT_EQ(Complaint({"-text"}), "unexpected argument '-text'; --help lists the flags");
  EXPECT_EQ(Complaint({}), "--text: is required");
  EXPECT_EQ(Complaint({"--text"}), "--text: has no value");
  EXPECT_EQ(Complaint({"--text="}), "--text: is ''; must not be empty");
  EXPECT_EQ(Complaint({"--skip-tokens=-1"}),
            "--skip-tokens: is '-1'; must be a whole number in [0, 99]");
  EXPECT_THAT(Complaint({"--distances=1,,2"}), HasSubstr("must be a whole number of at least 1"));
}

TEST(ParseFlagsTest, WhatWasTypedStaysInThatLine) {
  EXPECT_EQ(Complaint({"two\nlines"}), "unexpected argument 'two\\nlines'; --help lists the flags");
  EXPECT_EQ(Complaint({"--a\nb"}), "--a\\nb is not a flag; --help lists them");
  EXPECT_EQ(Complaint({"--wait=caf\u00e9\n"}),
            "--wait: is 'caf\u00e9\\n'; must be a duration, like 30s or 2m");
}

TEST(SwitchFlagTest, IsBareOrHasItsValueJoined) {
  EXPECT_FALSE(Parse({}).quick);
  EXPECT_TRUE(Parse({"--quick-one"}).quick);
  for (const char* yes : {"--quick-one=yes", "--quick-one=true"}) {
    EXPECT_TRUE(Parse({yes}).quick) << yes;
  }
  for (const char* no : {"--quick-one=no", "--quick-one=false"}) {
    EXPECT_FALSE(Parse({"--quick-one", no}).quick) << no;
  }
}

TEST(SwitchFlagTest, TakesNoArgumentBehindIt) {
  const Values values = Parse({"--quick-one", "--skip-tokens", "7"});
  EXPECT_TRUE(values.quick);
  EXPECT_EQ(values.tokens, 7);
  EXPECT_EQ(Complaint({"--quick-one", "yes"}), "unexpected argument 'yes'; --help lists the flags");
}

TEST(SwitchFlagTest, IsYesOrNo) {
  EXPECT_EQ(Complaint({"--quick-one=maybe"}), "--quick-one: is 'maybe'; must be yes or no");
  EXPECT_EQ(Complaint({"--quick-one="}), "--quick-one: is ''; must be yes or no");
}

TEST(DurationFlagTest, HasAUnit) {
  EXPECT_EQ(Parse({"--wait=30s"}).wait, absl::Seconds(30));
  EXPECT_EQ(Parse({"--wait", "1m30s"}).wait, absl::Seconds(90));
  EXPECT_EQ(Parse({"--wait=0"}).wait, absl::ZeroDuration());
  EXPECT_EQ(Complaint({"--wait=30"}), "--wait: is '30'; must be a duration, like 30s or 2m");
  EXPECT_EQ(Complaint({"--wait="}), "--wait: is ''; must be a duration, like 30s or 2m");
}

TEST(OptionalFlagTest, HoldsNothingUnlessItIsGiven) {
  const Values none = Parse({});
  EXPECT_EQ(none.system, std::nullopt);
  EXPECT_EQ(none.heat, std::nullopt);
  EXPECT_EQ(none.few, std::nullopt);
  const Values given = Parse({"--system=Rhyme.", "--heat=0", "--few=0"});
  EXPECT_EQ(given.system, "Rhyme.");
  EXPECT_EQ(given.heat, 0);
  EXPECT_EQ(given.few, 0);
  EXPECT_EQ(Parse({"--system="}).system, std::nullopt);
  EXPECT_EQ(Parse({"--few=1", "--few="}).few, std::nullopt);
}

TEST(OptionalFlagTest, TakesAllThatItsTypeHolds) {
  const Values values = Parse({"--few=-2147483648", "--many=9223372036854775807",
                               "--seed=18446744073709551615", "--heat=-1e300"});
  EXPECT_EQ(values.few, INT32_MIN);
  EXPECT_EQ(values.many, INT64_MAX);
  EXPECT_EQ(values.seed, UINT64_MAX);
  EXPECT_EQ(values.heat, -1e300);
  EXPECT_TRUE(std::isnan(Parse({"--heat=nan"}).heat.value_or(0)));
}

TEST(OptionalFlagTest, SaysWhatItsTypeHolds) {
  EXPECT_EQ(Complaint({"--few=2147483648"}),
            "--few: is '2147483648'; must be a whole number in [-2147483648, 2147483647]");
  EXPECT_EQ(Complaint({"--few=1.5"}),
            "--few: is '1.5'; must be a whole number in [-2147483648, 2147483647]");
  EXPECT_EQ(Complaint({"--seed=-1"}),
            "--seed: is '-1'; must be a whole number in [0, 18446744073709551615]");
  EXPECT_EQ(Complaint({"--heat=hot"}), "--heat: is 'hot'; must be a number");
}

TEST(ReadRequestTest, HelpAndVersionAreAskedForWhateverElseIsGiven) {
  EXPECT_EQ(Ask({}), Request::kRun);
  EXPECT_EQ(Ask({"--few=1", "stray"}), Request::kRun);
  for (const char* help : {"--help", "-help", "-h"}) {
    EXPECT_EQ(Ask({"--few=x", help}), Request::kHelp) << help;
    EXPECT_EQ(Ask({"stray", "--nonsense", help, "--version"}), Request::kHelp) << help;
    EXPECT_EQ(Ask({"--quick-one", help}), Request::kHelp) << help;
  }
  for (const char* version : {"--version", "-version"}) {
    EXPECT_EQ(Ask({"--few=1", version, "--help"}), Request::kVersion) << version;
  }
}

TEST(ReadRequestTest, AValueAsksForNothing) {
  EXPECT_EQ(Ask({"--system", "--help"}), Request::kRun);
  EXPECT_EQ(Ask({"--system", "-h", "--text", "--version"}), Request::kRun);
  EXPECT_EQ(Ask({"--system=x", "--help"}), Request::kHelp);
}

TEST(DescribeFlagsTest, ShowsAValueUnlessItIsASwitch) {
  Values values;
  const std::string text = DescribeFlags(FlagsOf(&values));
  EXPECT_THAT(text, HasSubstr("  --text FILE  (required)\n      what is read\n"));
  EXPECT_THAT(text, HasSubstr("  --quick-one\n      at once\n"));
  EXPECT_THAT(text, HasSubstr("  --wait DURATION\n      so long\n"));
}

}  // namespace
}  // namespace sinkstream
