#include "server/wire/response.h"

#include <google/protobuf/text_format.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include "engine/errors.h"
#include "tests/fakes/fake_text.h"

namespace sinkstream {
namespace {

v1::ConverseResponse Response(const Event& event) {
  v1::Limits limits;
  limits.set_max_tokens(77);
  return ToResponse(event, FakeTokenizer(), limits);
}

void ExpectEqual(const google::protobuf::Message& actual, const std::string& expected) {
  std::unique_ptr<google::protobuf::Message> message(actual.New());
  ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(expected, message.get()));
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(actual, *message))
      << actual.DebugString();
}

TEST(ToResponse, GoAway) {
  ExpectEqual(Response(sinkstream::GoAway{absl::Milliseconds(2500)}),
              "go_away { time_left { seconds: 2 nanos: 500000000 } }");
}

TEST(ToResponse, Opened) {
  sinkstream::Opened opened;
  opened.id = "ab";
  opened.resumed = true;
  opened.settings.sinks = 3;
  opened.settings.window = 9;
  opened.settings.idle_timeout = absl::Milliseconds(1500);
  opened.settings.sampling.stop_strings = {"x"};
  opened.settings.sampling.stop_tokens = {5};
  opened.position = 40;
  opened.evicted = 28;
  opened.kv_bytes = 4096;
  ExpectEqual(Response(opened), R"pb(
    opened {
      session_id: "ab"
      resumed: true
      sinks: 3
      window: 9
      sampling {
        temperature: 0.2
        top_k: 0
        top_p: 0.9
        min_p: 0
        repetition_penalty: 1
        presence_penalty: 0
        frequency_penalty: 0
        penalty_last_n: 256
        stop_strings: "x"
        stop_tokens: 5
        ignore_end_of_turn: false
        max_tokens: 1024
      }
      idle_timeout { seconds: 1 nanos: 500000000 }
      position: 40
      evicted_tokens: 28
      kv_bytes: 4096
      limits { max_tokens: 77 }
    })pb");
}

TEST(ToResponse, DeltaWithLogprobs) {
  Delta delta{7, "a", {'a', kEndToken}, {}};
  delta.logprobs.push_back({{'a', -0.5f}, {{'a', -0.5f}, {0xe2, -2.0f}}});
  delta.logprobs.push_back({{kEndToken, -1.0f}, {}});
  ExpectEqual(Response(delta), R"pb(
    delta {
      request_id: 7
      text: "a"
      token_ids: [ 97, 257 ]
      logprobs {
        chosen { token_id: 97 logprob: -0.5 token_bytes: "a" }
        top { token_id: 97 logprob: -0.5 token_bytes: "a" }
        top { token_id: 226 logprob: -2 token_bytes: "\xe2" }
      }
      logprobs { chosen { token_id: 257 logprob: -1 } }
    })pb");
}

TEST(ToResponse, ScoresWithDistributionsInLittleEndian) {
  Scores scores;
  scores.request_id = 7;
  scores.position = 40;
  scores.logprobs = {{{'a', -0.5f}, {{'b', -0.25f}}}, {{kEndToken, -2.0f}, {}}};
  scores.distributions = {{1.0f, -0.5f}, {0.0f, -2.0f}};
  const v1::ConverseResponse response = Response(scores);
  ExpectEqual(response, R"pb(
    scores {
      request_id: 7
      position: 40
      logprobs {
        chosen { token_id: 97 logprob: -0.5 token_bytes: "a" }
        top { token_id: 98 logprob: -0.25 token_bytes: "b" }
      }
      logprobs { chosen { token_id: 257 logprob: -2 } }
      distributions: "\000\000\200\077\000\000\000\277"
      distributions: "\000\000\000\000\000\000\000\300"
    })pb");
  ExpectEqual(ToScoreResponse(scores, FakeTokenizer()).scores(), response.scores().DebugString());
}

TEST(ToResponse, AppendDoneWithoutATimeOfAFirstToken) {
  const sinkstream::AppendDone done{
      7,
      {1, 0, 3, 4},
      5,
      {absl::Seconds(1), absl::Seconds(2), absl::ZeroDuration(), absl::Seconds(4)}};
  const v1::ConverseResponse response = Response(done);
  ExpectEqual(response, R"pb(
    append_done {
      request_id: 7
      usage { prompt_tokens: 1 cached_tokens: 3 evicted_tokens: 4 }
      held_bytes: 5
      timings {
        queue { seconds: 1 }
        prefill { seconds: 2 }
        total { seconds: 4 }
      }
    })pb");
  ExpectEqual(ToScoreResponse(done).done().timings(),
              response.append_done().timings().DebugString());
}

TEST(ToResponse, TurnDone) {
  const sinkstream::TurnDone done{
      7,
      FinishReason::kStopString,
      "x",
      11,
      {1, 2, 3, 4},
      {absl::Seconds(1), absl::Seconds(2), absl::Nanoseconds(3), absl::Seconds(4)}};
  ExpectEqual(Response(done), R"pb(
    turn_done {
      request_id: 7
      finish_reason: FINISH_REASON_STOP_STRING
      stop_string: "x"
      seed: 11
      usage { prompt_tokens: 1 generated_tokens: 2 cached_tokens: 3 evicted_tokens: 4 }
      timings {
        queue { seconds: 1 }
        prefill { seconds: 2 }
        first_token { nanos: 3 }
        total { seconds: 4 }
      }
    })pb");
}

TEST(ToResponse, EveryFinishReason) {
  const std::pair<FinishReason, v1::FinishReason> reasons[] = {
      {FinishReason::kEndOfTurn, v1::FINISH_REASON_END_OF_TURN},
      {FinishReason::kStopToken, v1::FINISH_REASON_STOP_TOKEN},
      {FinishReason::kStopString, v1::FINISH_REASON_STOP_STRING},
      {FinishReason::kLength, v1::FINISH_REASON_LENGTH},
      {FinishReason::kCancelled, v1::FINISH_REASON_CANCELLED},
  };
  for (const auto& [reason, expected] : reasons) {
    sinkstream::TurnDone done;
    done.reason = reason;
    EXPECT_EQ(Response(done).turn_done().finish_reason(), expected);
  }
}

TEST(ToResponse, TheOtherEvents) {
  ExpectEqual(Response(sinkstream::PrefillProgress{7, 64, 100}),
              "prefill_progress { request_id: 7 done_tokens: 64 total_tokens: 100 }");
  ExpectEqual(Response(sinkstream::WindowMoved{50, 20, 24}),
              "window_moved { position: 50 evicted_tokens: 20 first_recent_position: 24 }");
}

TEST(ToResponse, RequestFailedCarriesItsDetails) {
  const auto response =
      Response(sinkstream::RequestFailed{7, InvalidField("turn.text", "is empty")});
  EXPECT_EQ(response.failed().request_id(), 7u);
  EXPECT_EQ(response.failed().status().code(), 3);
  EXPECT_EQ(response.failed().status().message(), "turn.text: is empty");
  EXPECT_EQ(response.failed().status().details_size(), 1);
}

TEST(ToLimits, TellsEveryLimit) {
  ModelSpec spec;
  spec.num_blocks = 1 << 20;
  spec.block_bytes = 1 << 20;
  EngineLimits limits;
  limits.max_idle_timeout = absl::Hours(1);
  limits.max_principal_sessions = 7;
  ExpectEqual(ToLimits(limits, spec, 1 << 20), R"pb(
    max_sessions: 256
    max_request_bytes: 262144
    max_request_tokens: 131072
    max_tokens: 16384
    max_queued_requests: 8
    max_idle_timeout { seconds: 3600 }
    kv_bytes: 1099511627776
    max_message_bytes: 1048576
    max_principal_sessions: 7)pb");
}

}  // namespace
}  // namespace sinkstream
