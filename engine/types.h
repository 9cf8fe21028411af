// Plain values that cross the engine's edges: what a client may ask of a turn, and what comes back.
// No class here has an invariant; engine/session/session_rules.h and
// engine/sampling/sampling_rules.h check the limits.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/time/time.h"

namespace sinkstream {

using TokenId = int32_t;
inline constexpr TokenId kNoToken = -1;
// 32 lower-case hex digits from the system's random source; a secret of its client.
using SessionId = std::string;
using AttachmentId = uint64_t;  // one stream's hold on a session; never reused

// Where a stream belongs in its client's own tracing (W3C trace context). The engine tells it to
// its observer and does nothing else with it.
struct TraceContext {
  std::string trace_id;  // 32 lower-case hex digits
  std::string span_id;   // 16: of the caller's span
  bool sampled = false;
};

// How a reply is drawn. Order: penalties, temperature, top_k, top_p, min_p, draw.
// Source of each rule: transformers' logits processors; vLLM for presence and frequency.
struct SamplingParams {
  double temperature = 0.2;         // 0 is greedy; at most 10
  int32_t top_k = 0;                // 0 is off; at most the vocabulary
  double top_p = 0.9;               // (0, 1]; 1 is off
  double min_p = 0.0;               // [0, 1); 0 is off
  double repetition_penalty = 1.0;  // (0, 10]; 1 is off
  double presence_penalty = 0.0;    // [-10, 10]; 0 is off
  double frequency_penalty = 0.0;   // [-10, 10]; 0 is off
  // The penalties look at this many latest tokens of the session; [0, 4096].
  int32_t penalty_last_n = 256;
  std::optional<uint64_t> seed;           // absent: drawn afresh per turn and told in TurnDone
  std::vector<std::string> stop_strings;  // at most 16 of 1 to 256 bytes; never sent to the client
  std::vector<TokenId> stop_tokens;  // at most 64, beside the chat format's own; never sent as text
  bool ignore_end_of_turn = false;  // do not stop at the chat format's own stop tokens (benchmarks)
  int32_t max_tokens = 1024;        // [1, EngineLimits::max_tokens]
  // Absent: none; n: the chosen token's and the n likeliest ones'; [0, 20].
  std::optional<int32_t> top_logprobs;
};

// What a client said of sampling: absent fields keep the session's (or, at open, the server's)
// value.
struct SamplingOverrides {
  std::optional<double> temperature, top_p, min_p;
  std::optional<int32_t> top_k;
  std::optional<double> repetition_penalty, presence_penalty, frequency_penalty;
  std::optional<int32_t> penalty_last_n;
  std::optional<uint64_t> seed;
  std::vector<std::string> stop_strings;  // not empty: replaces the inherited list
  std::vector<TokenId> stop_tokens;       // not empty: replaces the inherited list
  std::optional<bool> ignore_end_of_turn;
  std::optional<int32_t> max_tokens;
  std::optional<int32_t> top_logprobs;
};

enum class FinishReason {
  kEndOfTurn,   // the model ended its turn (a stop token of the chat format)
  kStopToken,   // one of SamplingParams::stop_tokens
  kStopString,  // one of SamplingParams::stop_strings; TurnDone::stop_string says which
  kLength,      // max_tokens
  kCancelled,   // by the client
};
// In their order.
inline constexpr std::array kFinishReasons = {FinishReason::kEndOfTurn, FinishReason::kStopToken,
                                              FinishReason::kStopString, FinishReason::kLength,
                                              FinishReason::kCancelled};

struct TokenLogprob {
  TokenId token = 0;
  // Natural logarithm, of the model's own distribution (before penalties and temperature).
  float logprob = 0;
};

struct ChosenLogprob {
  TokenLogprob chosen;
  std::vector<TokenLogprob> top;  // likeliest first
};

// What is told of each token of a text that is read.
struct ScoringParams {
  int32_t top_logprobs = 0;    // beside the token's own, so many likeliest ones; [0, 20]
  int32_t skip_tokens = 0;     // the first tokens of the request, which are not scored; >= 0
  bool distributions = false;  // the whole vocabulary's too; then few tokens (kMaxDistributions)
};

// What a session was opened with, after defaults; constant for its life.
struct SessionSettings {
  int32_t sinks = 4;  // pinned tokens, >= 0: the first tokens of the stream
  // Recent tokens a token sees, itself included, >= 1; sinks + window <= trained context.
  int64_t window = 1020;
  SamplingParams sampling;  // defaults of its turns
  // Lives so long without a stream; 0: closes with its stream.
  absl::Duration idle_timeout = absl::Minutes(10);
};

// ---- Events: engine -> outbox -> stream
// -------------------------------------------------------------------------

struct Opened {
  SessionId id;
  bool resumed = false;
  SessionSettings settings;
  int64_t position = 0;  // tokens of the stream so far
  int64_t evicted = 0;   // of these, tokens that have left the window
  int64_t kv_bytes = 0;  // reserved for this session until it closes
};

struct PrefillProgress {
  uint64_t request_id = 0;
  int64_t done = 0;   // tokens
  int64_t total = 0;  // tokens
};

struct Delta {
  uint64_t request_id = 0;
  // Whole UTF-8 characters; may be empty while a character or a stop string is held back.
  std::string text;
  absl::InlinedVector<TokenId, 2> tokens;  // in the order sampled
  std::vector<ChosenLogprob> logprobs;     // one per token, where asked for
  // With a reply's first token: when its turn arrived.
  std::optional<absl::Time> arrived = std::nullopt;
};

// Of tokens that were read: their log-probabilities, as the tokens before them predict them.
struct Scores {
  uint64_t request_id = 0;
  int64_t position = 0;                 // text position of the first; the others follow it
  std::vector<ChosenLogprob> logprobs;  // one per token
  std::vector<std::vector<float>> distributions;  // where asked for: [tokens][vocab_size]
  std::shared_ptr<const void> room = nullptr;  // theirs, of engine/sampling/distribution_budget.h
};

struct Usage {
  int64_t prompt_tokens = 0;     // fed for this request, the chat format's own among them
  int64_t generated_tokens = 0;  // sampled, the stop token included
  int64_t cached_tokens = 0;     // visible to the next token when the request began
  int64_t evicted_tokens = 0;    // left the window during this request
};

struct Timings {
  absl::Duration queue;    // accepted -> first prefill chunk planned; without one: its whole life
  absl::Duration prefill;  // -> last prefill chunk done, or done before that; none planned: zero
  absl::Duration first_token;  // accepted -> first token sampled (TTFT as the engine sees it)
  absl::Duration total;        // accepted -> done
};

struct TurnDone {
  uint64_t request_id = 0;
  FinishReason reason = FinishReason::kEndOfTurn;
  std::string stop_string;  // with kStopString
  uint64_t seed = 0;        // the one used
  Usage usage;
  Timings timings;
};

struct AppendDone {
  uint64_t request_id = 0;
  Usage usage;
  // Trailing text whose tokens depend on what follows; read with the next append or turn.
  int64_t held_bytes = 0;
  Timings timings = {};
};

// Sent when eviction has moved on at the end of a request, and when it first begins.
struct WindowMoved {
  int64_t position = 0;      // tokens of the stream so far
  int64_t evicted = 0;       // tokens evicted so far; the pinned tokens never are
  int64_t first_recent = 0;  // text position of the oldest token still seen, pinned ones aside
};

// Ends one request; the session goes on.
struct RequestFailed {
  uint64_t request_id = 0;
  absl::Status status;
};

// The engine drains: what runs and waits by now goes on, nothing else is taken.
struct GoAway {
  absl::Duration time_left;  // for that, at most
};

using Event = std::variant<Opened, PrefillProgress, Delta, Scores, TurnDone, AppendDone,
                           WindowMoved, RequestFailed, GoAway>;

}  // namespace sinkstream
