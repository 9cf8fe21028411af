#include "server/metrics/engine_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_split.h"

namespace sinkstream {
namespace {

using testing::IsSupersetOf;

class EngineMetricsTest : public testing::Test {
 protected:
  std::vector<std::string> Lines() { return absl::StrSplit(store_.Text(), '\n'); }

  void EndTurn(std::optional<FinishReason> reason, absl::Status status = absl::OkStatus(),
               int64_t generated_tokens = 1) {
    Usage usage;
    usage.prompt_tokens = 3;
    usage.generated_tokens = generated_tokens;
    Timings timings;
    timings.queue = absl::Milliseconds(30);
    timings.total = absl::Seconds(4);
    metrics_.OnRequestEnd({.session_id = id_,
                           .principal = id_,
                           .trace = no_trace_,
                           .replies = true,
                           .reason = reason,
                           .status = std::move(status),
                           .usage = usage,
                           .timings = timings});
  }
  void EndAppend(absl::Status status) {
    metrics_.OnRequestEnd({.session_id = id_,
                           .principal = id_,
                           .trace = no_trace_,
                           .reason = std::nullopt,
                           .status = std::move(status),
                           .usage = {},
                           .timings = {}});
  }

  const SessionId id_ = "0123456789abcdef0123456789abcdef";
  const std::optional<TraceContext> no_trace_;
  MetricStore store_;
  EngineMetrics metrics_{store_};
};

TEST_F(EngineMetricsTest, CountsATurnByItsEndAndItsTimes) {
  EndTurn(FinishReason::kLength);
  EndTurn(FinishReason::kCancelled);
  EndTurn(std::nullopt, absl::InternalError("broken"));
  EXPECT_THAT(Lines(), IsSupersetOf({"sinkstream_turns_total{finish_reason=\"length\"} 1",
                                     "sinkstream_turns_total{finish_reason=\"cancelled\"} 1",
                                     "sinkstream_turns_total{finish_reason=\"error\"} 1",
                                     "sinkstream_turns_total{finish_reason=\"end_of_turn\"} 0",
                                     "sinkstream_turn_queue_seconds_bucket{le=\"0.02\"} 0",
                                     "sinkstream_turn_queue_seconds_bucket{le=\"0.04\"} 3",
                                     "sinkstream_turn_duration_seconds_sum 12",
                                     "sinkstream_turn_duration_seconds_count 3"}));
}

TEST_F(EngineMetricsTest, TimesTurnsThatNobodyAnsweredApart) {
  EndTurn(FinishReason::kCancelled, absl::OkStatus(), 0);
  EndTurn(std::nullopt, absl::InternalError("broken"), 0);
  EndTurn(FinishReason::kCancelled, absl::OkStatus(), 1);
  EndAppend(absl::CancelledError("by the client"));
  EXPECT_THAT(Lines(), IsSupersetOf({"sinkstream_unanswered_turn_seconds_bucket{le=\"2.5\"} 0",
                                     "sinkstream_unanswered_turn_seconds_bucket{le=\"5\"} 2",
                                     "sinkstream_unanswered_turn_seconds_sum 8"}));
}

TEST_F(EngineMetricsTest, ATurnWhoseFirstStepFailedHasWaitedUntilThen) {
  Timings timings;
  timings.queue = absl::Milliseconds(30);
  timings.total = absl::Seconds(4);
  metrics_.OnRequestEnd({.session_id = id_,
                         .principal = id_,
                         .trace = no_trace_,
                         .replies = true,
                         .reason = std::nullopt,
                         .status = absl::InternalError("broken"),
                         .usage = {},
                         .timings = timings});
  EXPECT_THAT(Lines(), testing::Contains("sinkstream_turn_queue_seconds_bucket{le=\"0.04\"} 1"));
}

TEST_F(EngineMetricsTest, ATurnThatHadNoPlaceInAStepTellsNothingOfTheQueue) {
  Timings timings;
  timings.queue = timings.total = absl::Seconds(4);
  metrics_.OnRequestEnd({.session_id = id_,
                         .principal = id_,
                         .trace = no_trace_,
                         .replies = true,
                         .reason = FinishReason::kCancelled,
                         .status = absl::OkStatus(),
                         .usage = {},
                         .timings = timings});
  EXPECT_THAT(Lines(), testing::Contains("sinkstream_turn_queue_seconds_count 0"));
}

TEST_F(EngineMetricsTest, CountsAnAppendByItsEnd) {
  EndAppend(absl::OkStatus());
  EndAppend(absl::CancelledError("by the client"));
  EndAppend(absl::InternalError("broken"));
  EndAppend(absl::InternalError("broken"));
  EXPECT_THAT(Lines(), IsSupersetOf({"sinkstream_appends_total{outcome=\"done\"} 1",
                                     "sinkstream_appends_total{outcome=\"cancelled\"} 1",
                                     "sinkstream_appends_total{outcome=\"error\"} 2"}));
}

TEST_F(EngineMetricsTest, SplitsTheTimeOfAStep) {
  StepStats stats;
  stats.decode_rows = 3;
  stats.prefill_rows = 20;
  stats.sampled_tokens = 2;
  stats.scored_tokens = 5;
  stats.guessed_tokens = 9;
  stats.accepted_guesses = 4;
  stats.evicted_tokens = 7;
  stats.evicted_blocks = 3;
  stats.freed_blocks = 2;
  stats.nonfinite_rows = 1;
  stats.plan = absl::Milliseconds(125);
  stats.model = absl::Milliseconds(250);
  stats.sample = absl::Milliseconds(500);
  stats.emit = absl::Seconds(1);
  stats.pinned_attention = 0.25;
  stats.negative_log_likelihood = 1.75;
  metrics_.OnStep(stats);
  EXPECT_THAT(Lines(), IsSupersetOf({"sinkstream_steps_total{outcome=\"ok\"} 1",
                                     "sinkstream_step_phase_seconds_total{phase=\"plan\"} 0.125",
                                     "sinkstream_step_phase_seconds_total{phase=\"model\"} 0.25",
                                     "sinkstream_step_phase_seconds_total{phase=\"sample\"} 0.5",
                                     "sinkstream_step_phase_seconds_total{phase=\"emit\"} 1",
                                     "sinkstream_step_seconds_sum 1.875",
                                     "sinkstream_prompt_tokens_total 20",
                                     "sinkstream_guessed_tokens_total{outcome=\"accepted\"} 4",
                                     "sinkstream_guessed_tokens_total{outcome=\"rejected\"} 5",
                                     "sinkstream_generated_tokens_total 2",
                                     "sinkstream_scored_tokens_total 5",
                                     "sinkstream_evicted_tokens_total 7",
                                     "sinkstream_kv_blocks_evicted_total 3",
                                     "sinkstream_kv_blocks_freed_total 2",
                                     "sinkstream_nonfinite_logits_total 1",
                                     "sinkstream_step_rows_sum{phase=\"prefill\"} 20",
                                     "sinkstream_step_rows_bucket{phase=\"decode\",le=\"2\"} 0",
                                     "sinkstream_step_rows_bucket{phase=\"decode\",le=\"4\"} 1",
                                     "sinkstream_pinned_attention_ratio_sum 0.25",
                                     "sinkstream_generated_nll_nats_bucket{le=\"1.5\"} 0",
                                     "sinkstream_generated_nll_nats_bucket{le=\"2\"} 1"}));
}

TEST_F(EngineMetricsTest, OfAStepWithoutALookCountsNone) {
  metrics_.OnStep({});
  StepStats failed;
  failed.failed = true;
  metrics_.OnStep(failed);
  EXPECT_THAT(Lines(), IsSupersetOf({"sinkstream_steps_total{outcome=\"ok\"} 1",
                                     "sinkstream_steps_total{outcome=\"error\"} 1",
                                     "sinkstream_pinned_attention_ratio_count 0",
                                     "sinkstream_generated_nll_nats_count 0"}));
}

TEST_F(EngineMetricsTest, PutsEverySessionInOneState) {
  PoolStats pool;
  pool.sessions = 20;
  pool.attached_sessions = 9;
  pool.running_requests = 5;
  pool.paused_requests = 2;
  pool.waiting_requests = 4;
  pool.parked_sessions = 3;
  metrics_.OnPool(pool);
  EXPECT_THAT(
      Lines(),
      IsSupersetOf(
          {"sinkstream_sessions{state=\"running\"} 3", "sinkstream_sessions{state=\"paused\"} 2",
           "sinkstream_sessions{state=\"attached\"} 4", "sinkstream_sessions{state=\"idle\"} 8",
           "sinkstream_sessions{state=\"parked\"} 3", "sinkstream_running_requests 5",
           "sinkstream_waiting_requests 4"}));
}

TEST_F(EngineMetricsTest, PutsEveryBlockToOneUse) {
  PoolStats pool;
  pool.blocks_total = 100;
  pool.blocks_reserved = 60;
  pool.blocks_used = 35;
  pool.recent_blocks = 30;
  pool.block_bytes = 1000;
  pool.kv_tokens = 123;
  metrics_.OnPool(pool);
  EXPECT_THAT(
      Lines(),
      IsSupersetOf(
          {"sinkstream_kv_blocks{use=\"pinned\"} 5", "sinkstream_kv_blocks{use=\"recent\"} 30",
           "sinkstream_kv_blocks{use=\"reserved\"} 25", "sinkstream_kv_blocks{use=\"free\"} 40",
           "sinkstream_kv_used_bytes 35000", "sinkstream_kv_tokens 123"}));
}

TEST_F(EngineMetricsTest, KeepsTheMostThatThePoolHasHeld) {
  for (const int32_t used : {10, 35, 20}) {
    PoolStats pool;
    pool.blocks_used = used;
    pool.block_bytes = 1000;
    metrics_.OnPool(pool);
  }
  EXPECT_THAT(Lines(),
              IsSupersetOf({"sinkstream_kv_used_bytes 20000", "sinkstream_kv_peak_bytes 35000"}));
}

TEST_F(EngineMetricsTest, CountsTheLivesOfSessionsAndWhatTheyShared) {
  metrics_.OnSessionStart({.id = id_, .has_prefix = true});
  metrics_.OnSessionStart({.id = id_, .has_prefix = true, .shared_tokens = 40});
  metrics_.OnSessionStart({.id = id_, .has_prefix = true});
  metrics_.OnPrefixJoined(40);
  metrics_.OnSessionStart({.id = id_});
  metrics_.OnSessionStart({.id = id_, .resumed = true});
  metrics_.OnSessionEnd({.id = id_, .reason = CloseReason::kIdle, .lifetime = absl::Hours(2)});
  EXPECT_THAT(Lines(), IsSupersetOf({"sinkstream_sessions_opened_total 4",
                                     "sinkstream_sessions_resumed_total 1",
                                     "sinkstream_shared_prefix_lookups_total 3",
                                     "sinkstream_shared_prefix_hits_total 2",
                                     "sinkstream_shared_prefix_tokens_total 80",
                                     "sinkstream_sessions_closed_total{reason=\"idle\"} 1",
                                     "sinkstream_sessions_closed_total{reason=\"client\"} 0",
                                     "sinkstream_session_duration_seconds_sum 7200"}));
}

TEST_F(EngineMetricsTest, CountsErrorsByCodeAndRefusalsByReason) {
  metrics_.OnRequestFailed(absl::InvalidArgumentError("no"));
  metrics_.OnRequestFailed(absl::UnauthenticatedError("who"));
  metrics_.OnRequestFailed(absl::OkStatus());
  metrics_.OnRejected(Refusal::kKvMemory);
  EXPECT_THAT(
      Lines(),
      IsSupersetOf({"sinkstream_errors_total{scope=\"request\",code=\"INVALID_ARGUMENT\"} 1",
                    "sinkstream_errors_total{scope=\"request\",code=\"UNAUTHENTICATED\"} 1",
                    "sinkstream_errors_total{scope=\"request\",code=\"CANCELLED\"} 0",
                    "sinkstream_admission_rejections_total{reason=\"kv_memory\"} 1"}));
}

TEST_F(EngineMetricsTest, NamesEveryCode) {
  const auto& codes = InfoOf(Metric::kErrors).labels[1].values;
  for (size_t i = 0; i < codes.size(); ++i) {
    EXPECT_EQ(codes[i], absl::StatusCodeToString(static_cast<absl::StatusCode>(i + 1)));
  }
}

TEST_F(EngineMetricsTest, CountsWhatIsSavedAndLoaded) {
  metrics_.OnParkEnd({ParkOperation::kSave, absl::OkStatus(), 500, absl::Milliseconds(20)});
  metrics_.OnParkEnd({ParkOperation::kLoad, absl::DataLossError("gone"), 500, absl::Seconds(1)});
  EXPECT_THAT(Lines(),
              IsSupersetOf({"sinkstream_park_operations_total{op=\"save\",outcome=\"ok\"} 1",
                            "sinkstream_park_operations_total{op=\"load\",outcome=\"error\"} 1",
                            "sinkstream_park_operations_total{op=\"load\",outcome=\"ok\"} 0",
                            "sinkstream_park_transfer_bytes_total{op=\"save\"} 500",
                            "sinkstream_park_transfer_bytes_total{op=\"load\"} 0",
                            "sinkstream_park_seconds_sum{op=\"load\"} 1"}));
}

}  // namespace
}  // namespace sinkstream
