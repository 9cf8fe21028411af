#include "server/wire/request.h"

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include "engine/errors.h"

namespace sinkstream {
namespace {

RequestRules Rules() {
  RequestRules rules;
  rules.limits.max_request_bytes = 8;
  rules.limits.max_request_tokens = 3;
  rules.vocab_size = 100;
  return rules;
}

template <typename Message>
Message From(const std::string& text) {
  Message message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
  return message;
}

auto Open(const std::string& text) { return ToOpenRequest(From<v1::Open>(text), Rules()); }
auto Turn(const std::string& text) { return ToTurnRequest(From<v1::Turn>(text), Rules()); }
auto Append(const std::string& text) { return ToAppendRequest(From<v1::Append>(text), Rules()); }

// "<field>|<message>" of an INVALID_ARGUMENT.
template <typename T>
std::string Fault(const absl::StatusOr<T>& result) {
  EXPECT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument);
  return ErrorField(result.status()).value_or("") + "|" + std::string(result.status().message());
}

TEST(ToTurnRequest, TextIsTheUsers) {
  const auto turn = Turn("request_id: 7 text: 'hi'");
  ASSERT_TRUE(turn.ok()) << turn.status();
  EXPECT_EQ(turn->request_id, 7u);
  EXPECT_EQ(std::get<std::string>(turn->input), "hi");
  EXPECT_FALSE(turn->raw);
}

TEST(ToTurnRequest, RawTextIsAsItIs) {
  const auto turn = Turn("raw_text: 'hi'");
  ASSERT_TRUE(turn.ok()) << turn.status();
  EXPECT_EQ(std::get<std::string>(turn->input), "hi");
  EXPECT_TRUE(turn->raw);
}

TEST(ToTurnRequest, TokenIdsAreAsTheyAre) {
  const auto turn = Turn("token_ids { ids: [0, 99] }");
  ASSERT_TRUE(turn.ok()) << turn.status();
  EXPECT_EQ(std::get<std::vector<TokenId>>(turn->input), (std::vector<TokenId>{0, 99}));
}

TEST(ToTurnRequest, OverridesOnlyWhatIsGiven) {
  const auto turn = Turn("text: 'hi' sampling { temperature: 0 seed: 0 stop_strings: 'x' }");
  ASSERT_TRUE(turn.ok()) << turn.status();
  EXPECT_EQ(turn->sampling.temperature, 0.0);
  EXPECT_EQ(turn->sampling.seed, 0u);
  EXPECT_EQ(turn->sampling.stop_strings, std::vector<std::string>{"x"});
  EXPECT_FALSE(turn->sampling.top_p.has_value());
  EXPECT_FALSE(turn->sampling.max_tokens.has_value());
  EXPECT_FALSE(turn->sampling.top_logprobs.has_value());
}

TEST(ToTurnRequest, OverridesEveryField) {
  const auto turn = Turn(
      "text: 'hi' sampling { temperature: 1 top_k: 2 top_p: 0.3 min_p: 0.4 repetition_penalty: 1.5 "
      "presence_penalty: 0.6 frequency_penalty: 0.7 penalty_last_n: 8 seed: 9 stop_tokens: [10] "
      "ignore_end_of_turn: true max_tokens: 12 top_logprobs: 13 }");
  ASSERT_TRUE(turn.ok()) << turn.status();
  const SamplingOverrides& sampling = turn->sampling;
  EXPECT_EQ(sampling.temperature, 1.0);
  EXPECT_EQ(sampling.top_k, 2);
  EXPECT_EQ(sampling.top_p, 0.3);
  EXPECT_EQ(sampling.min_p, 0.4);
  EXPECT_EQ(sampling.repetition_penalty, 1.5);
  EXPECT_EQ(sampling.presence_penalty, 0.6);
  EXPECT_EQ(sampling.frequency_penalty, 0.7);
  EXPECT_EQ(sampling.penalty_last_n, 8);
  EXPECT_EQ(sampling.seed, 9u);
  EXPECT_EQ(sampling.stop_tokens, std::vector<TokenId>{10});
  EXPECT_EQ(sampling.ignore_end_of_turn, true);
  EXPECT_EQ(sampling.max_tokens, 12);
  EXPECT_EQ(sampling.top_logprobs, 13);
}

TEST(ToTurnRequest, NamesFieldAndLimitOfAFault) {
  EXPECT_EQ(Fault(Turn("request_id: 7")),
            "turn.input|turn.input: is not set: text, raw_text or token_ids");
  EXPECT_EQ(Fault(Turn("text: ''")), "turn.text|turn.text: is empty");
  EXPECT_EQ(Fault(Turn("raw_text: ''")), "turn.raw_text|turn.raw_text: is empty");
  EXPECT_EQ(Fault(Turn("text: '123456789'")),
            "turn.text|turn.text: is 9 bytes long; at most 8 (max_request_bytes)");
  EXPECT_EQ(Fault(Turn("token_ids {}")), "turn.token_ids.ids|turn.token_ids.ids: is empty");
  EXPECT_EQ(Fault(Turn("token_ids { ids: [1, 2, 3, 4] }")),
            "turn.token_ids.ids|turn.token_ids.ids: is 4 tokens long; at most 3 "
            "(max_request_tokens)");
  EXPECT_EQ(Fault(Turn("token_ids { ids: [1, 100] }")),
            "turn.token_ids.ids[1]|turn.token_ids.ids[1]: is 100; must be in [0, 100)");
  EXPECT_EQ(Fault(Turn("token_ids { ids: [-1] }")),
            "turn.token_ids.ids[0]|turn.token_ids.ids[0]: is -1; must be in [0, 100)");
}

TEST(ToTurnRequest, TakesTextOfExactlyTheLimit) { EXPECT_TRUE(Turn("text: '12345678'").ok()); }

TEST(ToAppendRequest, TakesTextOrTokens) {
  const auto text = Append("request_id: 3 text: 'hi'");
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_EQ(text->request_id, 3u);
  EXPECT_EQ(std::get<std::string>(text->input), "hi");
  const auto tokens = Append("token_ids { ids: [5] }");
  ASSERT_TRUE(tokens.ok()) << tokens.status();
  EXPECT_EQ(std::get<std::vector<TokenId>>(tokens->input), std::vector<TokenId>{5});
}

TEST(ToAppendRequest, NamesFieldAndLimitOfAFault) {
  EXPECT_EQ(Fault(Append("")), "append.input|append.input: is not set: text or token_ids");
  EXPECT_EQ(Fault(Append("text: ''")), "append.text|append.text: is empty");
  EXPECT_EQ(Fault(Append("text: '123456789'")),
            "append.text|append.text: is 9 bytes long; at most 8 (max_request_bytes)");
  EXPECT_EQ(Fault(Append("token_ids { ids: [100] }")),
            "append.token_ids.ids[0]|append.token_ids.ids[0]: is 100; must be in [0, 100)");
}

TEST(ToOpenRequest, LeavesOutWhatIsLeftOut) {
  const auto open = Open("");
  ASSERT_TRUE(open.ok()) << open.status();
  EXPECT_TRUE(open->id.empty());
  EXPECT_FALSE(open->system_prompt.has_value());
  EXPECT_FALSE(open->sinks.has_value());
  EXPECT_FALSE(open->window.has_value());
  EXPECT_FALSE(open->idle_timeout.has_value());
}

TEST(ToOpenRequest, TakesEverySetting) {
  const auto open = Open(
      "system_prompt: 'brief' sinks: 0 window: 5 sampling { top_k: 3 } "
      "idle_timeout { seconds: 1 nanos: 500000000 }");
  ASSERT_TRUE(open.ok()) << open.status();
  EXPECT_EQ(open->system_prompt, "brief");
  EXPECT_EQ(open->sinks, 0);
  EXPECT_EQ(open->window, 5);
  EXPECT_EQ(open->sampling.top_k, 3);
  EXPECT_EQ(open->idle_timeout, absl::Milliseconds(1500));
}

TEST(ToOpenRequest, NamesFieldAndLimitOfAFault) {
  EXPECT_EQ(Fault(Open("system_prompt: '123456789'")),
            "open.system_prompt|open.system_prompt: is 9 bytes long; at most 8 "
            "(max_request_bytes)");
  for (const char* duration :
       {"seconds: 1 nanos: -1", "nanos: 1000000000", "seconds: 999999999999999"}) {
    EXPECT_EQ(Fault(Open("idle_timeout { " + std::string(duration) + " }")),
              "open.idle_timeout|open.idle_timeout: is no google.protobuf.Duration: seconds or "
              "nanos out of range");
  }
}

constexpr char kId[] = "0123456789abcdef0123456789abcdef";

TEST(ToOpenRequest, ASessionIdStandsAlone) {
  const auto open = Open("session_id: '" + std::string(kId) + "'");
  ASSERT_TRUE(open.ok()) << open.status();
  EXPECT_EQ(open->id, kId);
  for (const char* setting :
       {"sinks: 4", "window: 9", "system_prompt: ''", "sampling {}", "idle_timeout {}"}) {
    EXPECT_EQ(Fault(Open("session_id: '" + std::string(kId) + "' " + setting)),
              "open.session_id|open.session_id: must stand alone: the settings of a session do "
              "not change")
        << setting;
  }
}

TEST(ToOpenRequest, WhatIsNoSessionIdIsNotFound) {
  for (const char* id : {"x", "0123456789ABCDEF0123456789ABCDEF", "0123456789abcdef0123456789abcde",
                         "0123456789abcdef0123456789abcdef0"}) {
    const auto open = Open("session_id: '" + std::string(id) + "'");
    EXPECT_EQ(open.status().code(), absl::StatusCode::kNotFound) << id;
  }
}

}  // namespace
}  // namespace sinkstream
