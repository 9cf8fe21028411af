#include "server/wire/request.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/errors.h"
#include "engine/session/scoring.h"
#include "engine/session/session_rules.h"
#include "server/wire/durations.h"

namespace sinkstream {
namespace {

constexpr size_t kSessionIdDigits = 32;

bool IsSessionId(const std::string& id) {
  return id.size() == kSessionIdDigits && std::all_of(id.begin(), id.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

template <typename T, typename Source>
std::optional<T> If(bool present, Source value) {
  return present ? std::optional<T>(static_cast<T>(value)) : std::nullopt;
}

SamplingOverrides ToOverrides(const v1::Sampling& from) {
  SamplingOverrides to;
  to.temperature = If<double>(from.has_temperature(), from.temperature());
  to.top_k = If<int32_t>(from.has_top_k(), from.top_k());
  to.top_p = If<double>(from.has_top_p(), from.top_p());
  to.min_p = If<double>(from.has_min_p(), from.min_p());
  to.repetition_penalty = If<double>(from.has_repetition_penalty(), from.repetition_penalty());
  to.presence_penalty = If<double>(from.has_presence_penalty(), from.presence_penalty());
  to.frequency_penalty = If<double>(from.has_frequency_penalty(), from.frequency_penalty());
  to.penalty_last_n = If<int32_t>(from.has_penalty_last_n(), from.penalty_last_n());
  to.seed = If<uint64_t>(from.has_seed(), from.seed());
  to.stop_strings.assign(from.stop_strings().begin(), from.stop_strings().end());
  to.stop_tokens.assign(from.stop_tokens().begin(), from.stop_tokens().end());
  to.ignore_end_of_turn = If<bool>(from.has_ignore_end_of_turn(), from.ignore_end_of_turn());
  to.max_tokens = If<int32_t>(from.has_max_tokens(), from.max_tokens());
  to.top_logprobs = If<int32_t>(from.has_top_logprobs(), from.top_logprobs());
  return to;
}

ScoringParams ToScoring(const v1::Scoring& from) {
  return {from.top_logprobs(), from.skip_tokens(), from.distributions()};
}

absl::Status CheckLength(const std::string& text, const std::string& field,
                         const EngineLimits& limits) {
  if (static_cast<int64_t>(text.size()) <= limits.max_request_bytes) return absl::OkStatus();
  return InvalidField(field, absl::StrCat("is ", text.size(), " bytes long; at most ",
                                          limits.max_request_bytes, " (max_request_bytes)"));
}

absl::StatusOr<OpenRequest> ToResume(v1::Open open) {
  if (open.has_system_prompt() || open.has_sinks() || open.has_window() || open.has_sampling() ||
      open.has_idle_timeout()) {
    return InvalidField("open.session_id",
                        "must stand alone: the settings of a session do not change");
  }
  if (!IsSessionId(open.session_id())) {
    return absl::NotFoundError("open.session_id: no session of this id");
  }
  OpenRequest request;
  request.id = std::move(*open.mutable_session_id());
  return request;
}

absl::StatusOr<std::vector<TokenId>> ToScoredTokens(const v1::ScoreRequest& score,
                                                    const RequestRules& rules,
                                                    const Tokenizer& tokenizer) {
  if (score.input_case() == v1::ScoreRequest::INPUT_NOT_SET) {
    return InvalidField("input", "is not set: text or token_ids");
  }
  if (score.has_token_ids()) return ToTokens(score.token_ids().ids(), 1, "token_ids.ids", rules);
  const absl::Status fits = CheckText(score.text(), "text", rules);
  if (!fits.ok()) return fits;
  auto tokens = tokenizer.Encode(score.text());
  if (tokens.empty()) {
    return InvalidField("text", "has no tokens: the model's vocabulary lacks its bytes");
  }
  if (auto few = ValidateTokenCount(tokens.size(), rules.limits.max_request_tokens, "text");
      !few.ok())
    return few;
  return tokens;
}

}  // namespace

absl::Status CheckText(const std::string& text, const std::string& field,
                       const RequestRules& rules) {
  if (text.empty()) return InvalidField(field, "is empty");
  return CheckLength(text, field, rules.limits);
}

absl::StatusOr<std::vector<TokenId>> ToTokens(const google::protobuf::RepeatedField<int32_t>& ids,
                                              int least, const std::string& field,
                                              const RequestRules& rules) {
  if (ids.size() < least) return InvalidField(field, "is empty");
  if (auto few = ValidateTokenCount(ids.size(), rules.limits.max_request_tokens, field); !few.ok())
    return few;
  for (int i = 0; i < ids.size(); ++i) {
    if (ids[i] >= 0 && ids[i] < rules.vocab_size) continue;
    return InvalidField(absl::StrCat(field, "[", i, "]"),
                        absl::StrCat("is ", ids[i], "; must be in [0, ", rules.vocab_size, ")"));
  }
  return std::vector<TokenId>(ids.begin(), ids.end());
}

absl::StatusOr<OpenRequest> ToOpenRequest(v1::Open open, const RequestRules& rules) {
  if (!open.session_id().empty()) return ToResume(std::move(open));
  OpenRequest request;
  if (open.has_system_prompt()) {
    const absl::Status fits = CheckLength(open.system_prompt(), "open.system_prompt", rules.limits);
    if (!fits.ok()) return fits;
    request.system_prompt = std::move(*open.mutable_system_prompt());
  }
  if (open.has_sinks()) request.sinks = open.sinks();
  if (open.has_window()) request.window = open.window();
  request.sampling = ToOverrides(open.sampling());
  if (open.has_idle_timeout()) {
    request.idle_timeout = FromProtoDuration(open.idle_timeout());
    if (!request.idle_timeout.has_value()) {
      return InvalidField("open.idle_timeout",
                          "is no google.protobuf.Duration: seconds or nanos out of range");
    }
  }
  return request;
}

absl::StatusOr<TurnRequest> ToTurnRequest(v1::Turn turn, const RequestRules& rules) {
  TurnRequest request;
  request.request_id = turn.request_id();
  request.sampling = ToOverrides(turn.sampling());
  if (turn.input_case() == v1::Turn::INPUT_NOT_SET) {
    return InvalidField("turn.input", "is not set: text, raw_text or token_ids");
  }
  if (turn.has_token_ids()) {
    auto tokens = ToTokens(turn.token_ids().ids(), 1, "turn.token_ids.ids", rules);
    if (!tokens.ok()) return tokens.status();
    request.input = *std::move(tokens);
    return request;
  }
  request.raw = turn.has_raw_text();
  std::string& text = request.raw ? *turn.mutable_raw_text() : *turn.mutable_text();
  const absl::Status fits = CheckText(text, request.raw ? "turn.raw_text" : "turn.text", rules);
  if (!fits.ok()) return fits;
  request.input = std::move(text);
  return request;
}

absl::StatusOr<AppendRequest> ToAppendRequest(v1::Append append, const RequestRules& rules) {
  AppendRequest request;
  request.request_id = append.request_id();
  if (append.has_scoring()) request.scoring = ToScoring(append.scoring());
  if (append.input_case() == v1::Append::INPUT_NOT_SET) {
    return InvalidField("append.input", "is not set: text or token_ids");
  }
  if (append.has_token_ids()) {
    auto tokens = ToTokens(append.token_ids().ids(), 1, "append.token_ids.ids", rules);
    if (!tokens.ok()) return tokens.status();
    request.input = *std::move(tokens);
    return request;
  }
  const absl::Status fits = CheckText(append.text(), "append.text", rules);
  if (!fits.ok()) return fits;
  request.input = std::move(*append.mutable_text());
  return request;
}

absl::StatusOr<ScoreCall> ToScoreCall(const v1::ScoreRequest& score, const RequestRules& rules,
                                      const Engine& engine) {
  ScoreCall call;
  call.open.idle_timeout = absl::ZeroDuration();
  if (score.has_sinks()) call.open.sinks = score.sinks();
  if (score.has_window()) call.open.window = score.window();
  SessionSettings settings = engine.Options().defaults;
  settings.sinks = call.open.sinks.value_or(settings.sinks);
  settings.window = call.open.window.value_or(settings.window);
  const auto valid =
      ValidateSession(settings, engine.Spec(), rules.limits, "", ContextField(call.open));
  if (!valid.ok()) return valid;
  const ScoringParams scoring = ToScoring(score.scoring());
  if (auto status = ValidateScoring(scoring, "scoring."); !status.ok()) return status;
  auto tokens = ToScoredTokens(score, rules, engine.GetTokenizer());
  if (!tokens.ok()) return tokens.status();
  const int64_t scored = static_cast<int64_t>(tokens->size()) - std::max(1, scoring.skip_tokens);
  if (auto few = CheckDistributions(scoring, scored, "scoring."); !few.ok()) return few;
  call.append.scoring = scoring;
  call.append.input = *std::move(tokens);
  return call;
}

}  // namespace sinkstream
