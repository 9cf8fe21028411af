#include "server/telemetry/trace_context.h"

#include <gtest/gtest.h>

#include <string>

namespace sinkstream {
namespace {

constexpr char kTrace[] = "4bf92f3577b34da6a3ce929d0e0e4736";
constexpr char kSpan[] = "00f067aa0ba902b7";

std::string Header(const std::string& version, const std::string& flags,
                   const std::string& rest = "") {
  return version + "-" + kTrace + "-" + kSpan + "-" + flags + rest;
}

TEST(TraceContext, IsReadFromTheStandardsExample) {
  const auto context = ParseTraceParent(Header("00", "01"));
  ASSERT_TRUE(context.has_value());
  EXPECT_EQ(context->trace_id, kTrace);
  EXPECT_EQ(context->span_id, kSpan);
  EXPECT_TRUE(context->sampled);
}

TEST(TraceContext, IsSampledIfTheLowestFlagSaysSo) {
  EXPECT_FALSE(ParseTraceParent(Header("00", "00"))->sampled);
  EXPECT_FALSE(ParseTraceParent(Header("00", "02"))->sampled);
  EXPECT_TRUE(ParseTraceParent(Header("00", "ff"))->sampled);
}

TEST(TraceContext, OfALaterVersionMayGoOnBehindTheFlags) {
  EXPECT_TRUE(ParseTraceParent(Header("01", "01")).has_value());
  EXPECT_TRUE(ParseTraceParent(Header("cc", "01", "-what-the-future-brings")).has_value());
  EXPECT_FALSE(ParseTraceParent(Header("cc", "01", ".what")).has_value());
  EXPECT_FALSE(ParseTraceParent(Header("00", "01", "-what")).has_value());
}

TEST(TraceContext, IsAbsentWhereTheStandardSaysInvalid) {
  const std::string zeros(32, '0');
  for (const std::string& header : {
           std::string(),
           std::string("00"),
           std::string(kTrace),
           Header("ff", "01"),
           Header("0x", "01"),
           Header("00", "0g"),
           Header("00", "1"),
           "00-" + zeros + "-" + kSpan + "-01",
           std::string("00-") + kTrace + "-0000000000000000-01",
           "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01" + std::string(),
           std::string("00_") + kTrace + "-" + kSpan + "-01",
           std::string("00-") + kTrace + "_" + kSpan + "-01",
           std::string("00-") + kTrace + "-" + kSpan + "_01",
           std::string(1 << 16, '0'),
           std::string(55, '\xff'),
       }) {
    EXPECT_FALSE(ParseTraceParent(header).has_value()) << header;
  }
}

}  // namespace
}  // namespace sinkstream
