#include "server/wire/response.h"

#include <bit>
#include <string>
#include <vector>

#include "server/process/version.h"
#include "server/wire/durations.h"
#include "server/wire/status.h"

namespace sinkstream {
namespace {

v1::Sampling ToProto(const SamplingParams& from) {
  v1::Sampling to;
  to.set_temperature(from.temperature);
  to.set_top_k(from.top_k);
  to.set_top_p(from.top_p);
  to.set_min_p(from.min_p);
  to.set_repetition_penalty(from.repetition_penalty);
  to.set_presence_penalty(from.presence_penalty);
  to.set_frequency_penalty(from.frequency_penalty);
  to.set_penalty_last_n(from.penalty_last_n);
  if (from.seed.has_value()) to.set_seed(*from.seed);
  to.mutable_stop_strings()->Assign(from.stop_strings.begin(), from.stop_strings.end());
  to.mutable_stop_tokens()->Assign(from.stop_tokens.begin(), from.stop_tokens.end());
  to.set_ignore_end_of_turn(from.ignore_end_of_turn);
  to.set_max_tokens(from.max_tokens);
  if (from.top_logprobs.has_value()) to.set_top_logprobs(*from.top_logprobs);
  return to;
}

v1::Usage ToProto(const Usage& from) {
  v1::Usage to;
  to.set_prompt_tokens(from.prompt_tokens);
  to.set_generated_tokens(from.generated_tokens);
  to.set_cached_tokens(from.cached_tokens);
  to.set_evicted_tokens(from.evicted_tokens);
  return to;
}

v1::Timings ToProto(const Timings& from, bool replies) {
  v1::Timings to;
  *to.mutable_queue() = ToProtoDuration(from.queue);
  *to.mutable_prefill() = ToProtoDuration(from.prefill);
  if (replies) *to.mutable_first_token() = ToProtoDuration(from.first_token);
  *to.mutable_total() = ToProtoDuration(from.total);
  return to;
}

v1::FinishReason ToProto(FinishReason reason) {
  switch (reason) {
    case FinishReason::kEndOfTurn:
      return v1::FINISH_REASON_END_OF_TURN;
    case FinishReason::kStopToken:
      return v1::FINISH_REASON_STOP_TOKEN;
    case FinishReason::kStopString:
      return v1::FINISH_REASON_STOP_STRING;
    case FinishReason::kLength:
      return v1::FINISH_REASON_LENGTH;
    case FinishReason::kCancelled:
      return v1::FINISH_REASON_CANCELLED;
  }
  return v1::FINISH_REASON_UNSPECIFIED;
}

void Fill(const TokenLogprob& from, const Tokenizer& tokenizer, v1::TokenLogprob& to) {
  to.set_token_id(from.token);
  to.set_logprob(from.logprob);
  to.set_token_bytes(std::string(tokenizer.TokenBytes(from.token)));
}

void Fill(const ChosenLogprob& from, const Tokenizer& tokenizer, v1::TokenLogprobs& to) {
  Fill(from.chosen, tokenizer, *to.mutable_chosen());
  for (const TokenLogprob& top : from.top) Fill(top, tokenizer, *to.add_top());
}

// float32, little-endian, as the contract says: this is the order of every machine it builds for.
static_assert(std::endian::native == std::endian::little);
std::string Bytes(const std::vector<float>& values) {
  return std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
}

void Fill(const Scores& from, const Tokenizer& tokenizer, v1::Scores& to) {
  to.set_request_id(from.request_id);
  to.set_position(from.position);
  for (const auto& logprob : from.logprobs) Fill(logprob, tokenizer, *to.add_logprobs());
  for (const auto& row : from.distributions) to.add_distributions(Bytes(row));
}

// One alternative of Event each.
struct ResponseFiller {
  const Tokenizer& tokenizer;
  const v1::Limits& limits;
  v1::ConverseResponse& response;

  void operator()(const Opened& event) const {
    v1::Opened& to = *response.mutable_opened();
    to.set_session_id(event.id);
    to.set_resumed(event.resumed);
    to.set_sinks(event.settings.sinks);
    to.set_window(event.settings.window);
    *to.mutable_sampling() = ToProto(event.settings.sampling);
    *to.mutable_idle_timeout() = ToProtoDuration(event.settings.idle_timeout);
    to.set_position(event.position);
    to.set_evicted_tokens(event.evicted);
    to.set_kv_bytes(event.kv_bytes);
    *to.mutable_limits() = limits;
  }
  void operator()(const PrefillProgress& event) const {
    v1::PrefillProgress& to = *response.mutable_prefill_progress();
    to.set_request_id(event.request_id);
    to.set_done_tokens(event.done);
    to.set_total_tokens(event.total);
  }
  void operator()(const Delta& event) const {
    v1::Delta& to = *response.mutable_delta();
    to.set_request_id(event.request_id);
    to.set_text(event.text);
    to.mutable_token_ids()->Assign(event.tokens.begin(), event.tokens.end());
    for (const auto& logprob : event.logprobs) Fill(logprob, tokenizer, *to.add_logprobs());
  }
  void operator()(const Scores& event) const { Fill(event, tokenizer, *response.mutable_scores()); }
  void operator()(const TurnDone& event) const {
    v1::TurnDone& to = *response.mutable_turn_done();
    to.set_request_id(event.request_id);
    to.set_finish_reason(ToProto(event.reason));
    to.set_stop_string(event.stop_string);
    to.set_seed(event.seed);
    *to.mutable_usage() = ToProto(event.usage);
    *to.mutable_timings() = ToProto(event.timings, true);
  }
  void operator()(const AppendDone& event) const {
    v1::AppendDone& to = *response.mutable_append_done();
    to.set_request_id(event.request_id);
    *to.mutable_usage() = ToProto(event.usage);
    to.set_held_bytes(event.held_bytes);
    *to.mutable_timings() = ToProto(event.timings, false);
  }
  void operator()(const WindowMoved& event) const {
    v1::WindowMoved& to = *response.mutable_window_moved();
    to.set_position(event.position);
    to.set_evicted_tokens(event.evicted);
    to.set_first_recent_position(event.first_recent);
  }
  void operator()(const GoAway& event) const {
    *response.mutable_go_away()->mutable_time_left() = ToProtoDuration(event.time_left);
  }
  void operator()(const RequestFailed& event) const {
    v1::RequestFailed& to = *response.mutable_failed();
    to.set_request_id(event.request_id);
    *to.mutable_status() = ToRpcStatus(event.status);
  }
};

}  // namespace

v1::Limits ToLimits(const EngineLimits& limits, const ModelSpec& spec, int64_t max_message_bytes) {
  v1::Limits to;
  to.set_max_sessions(limits.max_sessions);
  to.set_max_principal_sessions(limits.max_principal_sessions);
  to.set_max_request_bytes(limits.max_request_bytes);
  to.set_max_request_tokens(limits.max_request_tokens);
  to.set_max_tokens(limits.max_tokens);
  to.set_max_queued_requests(limits.max_queued_requests);
  *to.mutable_max_idle_timeout() = ToProtoDuration(limits.max_idle_timeout);
  to.set_kv_bytes(spec.num_blocks * spec.block_bytes);
  to.set_max_message_bytes(max_message_bytes);
  return to;
}

v1::ConverseResponse ToResponse(const Event& event, const Tokenizer& tokenizer,
                                const v1::Limits& limits) {
  v1::ConverseResponse response;
  std::visit(ResponseFiller{tokenizer, limits, response}, event);
  return response;
}

v1::ScoreResponse ToScoreResponse(const Scores& scores, const Tokenizer& tokenizer) {
  v1::ScoreResponse response;
  Fill(scores, tokenizer, *response.mutable_scores());
  return response;
}

v1::ScoreResponse ToScoreResponse(const AppendDone& done) {
  v1::ScoreResponse response;
  *response.mutable_done()->mutable_usage() = ToProto(done.usage);
  *response.mutable_done()->mutable_timings() = ToProto(done.timings, false);
  return response;
}

v1::GetLoadResponse ToLoadResponse(int64_t resident_bytes, const PoolStats& pool,
                                   int64_t kv_bytes) {
  v1::GetLoadResponse to;
  to.set_resident_bytes(resident_bytes);
  to.set_sessions(pool.sessions);
  to.set_attached_sessions(pool.attached_sessions);
  to.set_kv_bytes_reserved(pool.kv_bytes_reserved);
  to.set_kv_bytes(kv_bytes);
  return to;
}

v1::GetModelResponse ToModelResponse(const Engine& engine, const v1::Limits& limits) {
  const ModelSpec& spec = engine.Spec();
  const EngineOptions& options = engine.Options();
  v1::GetModelResponse to;
  to.set_name(spec.name);
  to.set_architecture(spec.architecture);
  to.set_weight_dtype(spec.weight_dtype);
  to.set_kv_dtype(spec.kv_dtype);
  to.set_vocab_size(spec.vocab_size);
  to.set_trained_context(spec.trained_context);
  to.set_chat_format(engine.GetChatFormat().name);
  v1::SessionDefaults& defaults = *to.mutable_defaults();
  defaults.set_sinks(options.defaults.sinks);
  defaults.set_window(options.defaults.window);
  *defaults.mutable_sampling() = ToProto(options.defaults.sampling);
  *defaults.mutable_idle_timeout() = ToProtoDuration(options.defaults.idle_timeout);
  *to.mutable_limits() = limits;
  to.set_kv_bytes_per_session(engine.SessionKvBytes(options.defaults));
  to.set_server_version(kServerVersion);
  to.set_isa(spec.isa);
  return to;
}

}  // namespace sinkstream
