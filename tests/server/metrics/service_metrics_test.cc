#include "server/metrics/service_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "engine/errors.h"
#include "tests/fakes/fake_clock.h"

namespace sinkstream {
namespace {

using testing::IsSupersetOf;

class ServiceMetricsTest : public testing::Test {
 protected:
  std::vector<std::string> Lines() { return absl::StrSplit(store_.Text(), '\n'); }
  static Delta Tokens(size_t count) {
    Delta delta;
    delta.tokens.assign(count, 7);
    return delta;
  }
  Delta FirstTokens(size_t count, absl::Duration since_arrival) {
    Delta delta = Tokens(count);
    delta.arrived = clock_.Now() - since_arrival;
    return delta;
  }
  void HandOut(std::vector<Event> events, bool was_full = false) {
    times_.HandedOut({std::move(events), std::nullopt, was_full});
  }
  HistogramCell::Reading Gaps() {
    return store_.HistogramOf(Metric::kInterTokenLatencySeconds).Read();
  }
  HistogramCell::Reading FirstTokenTimes() {
    return store_.HistogramOf(Metric::kTimeToFirstTokenSeconds).Read();
  }

  MetricStore store_;
  FakeClock clock_;
  ServiceMetrics metrics_{store_, clock_};
  TokenTimes times_{metrics_};
};

TEST_F(ServiceMetricsTest, AFirstTokenTookFromItsTurnsArrivalUntilItIsHandedOut) {
  HandOut({FirstTokens(1, absl::Milliseconds(300))});
  EXPECT_EQ(FirstTokenTimes().cumulative.back(), 1);
  EXPECT_DOUBLE_EQ(FirstTokenTimes().sum, 0.3);
  EXPECT_EQ(Gaps().cumulative.back(), 0);
}

TEST_F(ServiceMetricsTest, EachFurtherTokenIsAGap) {
  HandOut({FirstTokens(1, absl::Milliseconds(300))});
  clock_.Advance(absl::Milliseconds(40));
  HandOut({Tokens(1)});
  clock_.Advance(absl::Milliseconds(60));
  HandOut({Tokens(1)});
  EXPECT_EQ(Gaps().cumulative.back(), 2);
  EXPECT_DOUBLE_EQ(Gaps().sum, 0.1);
}

TEST_F(ServiceMetricsTest, TokensThatComeTogetherShareTheTimeEvenly) {
  HandOut({FirstTokens(1, absl::Milliseconds(300))});
  clock_.Advance(absl::Milliseconds(80));
  HandOut({Tokens(1), Tokens(3)});
  EXPECT_THAT(Lines(),
              IsSupersetOf({"sinkstream_inter_token_latency_seconds_bucket{le=\"0.01\"} 0",
                            "sinkstream_inter_token_latency_seconds_bucket{le=\"0.025\"} 4",
                            "sinkstream_inter_token_latency_seconds_sum 0.08"}));
}

TEST_F(ServiceMetricsTest, TheTimeBetweenTwoRepliesIsNoGap) {
  HandOut({FirstTokens(1, absl::ZeroDuration())});
  clock_.Advance(absl::Hours(1));
  HandOut({FirstTokens(1, absl::Milliseconds(500))});
  EXPECT_EQ(Gaps().cumulative.back(), 0);
  EXPECT_EQ(FirstTokenTimes().cumulative.back(), 2);
}

TEST_F(ServiceMetricsTest, WhatIsBehindAFirstTokenInABatchFollowsItAtOnce) {
  HandOut({FirstTokens(1, absl::ZeroDuration())});
  clock_.Advance(absl::Milliseconds(100));
  HandOut({Tokens(2), TurnDone{}, FirstTokens(3, absl::Milliseconds(20))});
  EXPECT_EQ(Gaps().cumulative.back(), 4);
  EXPECT_DOUBLE_EQ(Gaps().sum, 0.1);
}

TEST_F(ServiceMetricsTest, WhatASlowReaderHeldUpIsNotCounted) {
  HandOut({FirstTokens(1, absl::ZeroDuration())});
  clock_.Advance(absl::Minutes(5));
  HandOut({Tokens(64)}, /*was_full=*/true);
  EXPECT_EQ(Gaps().cumulative.back(), 0);
  clock_.Advance(absl::Milliseconds(50));
  HandOut({Tokens(1)});
  EXPECT_EQ(Gaps().cumulative.back(), 1);
  EXPECT_DOUBLE_EQ(Gaps().sum, 0.05);
}

TEST_F(ServiceMetricsTest, TextWithoutATokenCountsNothing) {
  HandOut({FirstTokens(1, absl::ZeroDuration())});
  clock_.Advance(absl::Seconds(1));
  HandOut({Delta{1, "held back", {}, {}}, Opened{}, WindowMoved{}});
  EXPECT_EQ(Gaps().cumulative.back(), 0);
}

TEST_F(ServiceMetricsTest, CountsStreamsThatLive) {
  metrics_.SetStreamsLimit(320);
  metrics_.StreamBegun();
  metrics_.StreamBegun();
  metrics_.StreamGone();
  EXPECT_THAT(Lines(), IsSupersetOf({"sinkstream_streams 1", "sinkstream_streams_limit 320"}));
}

TEST_F(ServiceMetricsTest, CountsRefusedMessagesByWhatIsWrongWithThem) {
  metrics_.MessageRefused(absl::InvalidArgumentError("bytes"), /*parsed=*/false);
  metrics_.MessageRefused(InvalidField("open.window", "is 0"), /*parsed=*/true);
  metrics_.MessageRefused(absl::FailedPreconditionError("open"), /*parsed=*/true);
  metrics_.MessageRefused(Exhausted(Refusal::kQueueFull, "inbox", std::nullopt), /*parsed=*/true);
  EXPECT_THAT(Lines(),
              IsSupersetOf({"sinkstream_messages_rejected_total{reason=\"malformed\"} 1",
                            "sinkstream_messages_rejected_total{reason=\"invalid\"} 1",
                            "sinkstream_messages_rejected_total{reason=\"out_of_turn\"} 1",
                            "sinkstream_admission_rejections_total{reason=\"queue_full\"} 1"}));
}

TEST_F(ServiceMetricsTest, CountsWhatWaitsInAllOutboxes) {
  auto first = std::make_shared<Outbox>(8, [] {}, &metrics_.outbound_events());
  auto second = std::make_shared<Outbox>(8, [] {}, &metrics_.outbound_events());
  first->Push(Opened{});
  first->Push(Tokens(1));
  second->Push(Opened{});
  EXPECT_THAT(Lines(), testing::Contains("sinkstream_outbound_events 3"));
  first->TakeAll();
  EXPECT_THAT(Lines(), testing::Contains("sinkstream_outbound_events 1"));
  first->Push(Tokens(1));
  second->Detach();
  first = nullptr;
  EXPECT_THAT(Lines(), testing::Contains("sinkstream_outbound_events 0"));
}

}  // namespace
}  // namespace sinkstream
