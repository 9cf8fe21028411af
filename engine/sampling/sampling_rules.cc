#include "engine/sampling/sampling_rules.h"

#include <charconv>
#include <cmath>
#include <string>
#include <type_traits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/errors.h"

namespace sinkstream {
namespace {

template <typename T>
void Take(const std::optional<T>& given, T& value) {
  if (given) value = *given;
}

template <typename T>
std::string InFull(const T& value) {
  if constexpr (std::is_floating_point_v<T>) {
    char digits[32];
    return {digits, std::to_chars(digits, digits + sizeof digits, value).ptr};
  } else {
    return absl::StrCat(value);
  }
}

// Collects the first fault of a set of parameters.
class Faults {
 public:
  explicit Faults(std::string prefix) : prefix_(std::move(prefix)) {}

  template <typename T>
  void Require(bool good, const char* field, const T& value, const char* limit) {
    if (good || !status_.ok()) return;
    status_ =
        InvalidField(prefix_ + field, absl::StrCat("is ", InFull(value), "; must be ", limit));
  }
  void Add(absl::Status fault) { status_.Update(std::move(fault)); }
  absl::Status Take() { return std::move(status_); }

 private:
  const std::string prefix_;
  absl::Status status_;
};

// `Sampling` has stop_strings and stop_tokens. Looks at no string of a list that is too long.
template <typename Sampling>
absl::Status CheckStopSizes(const Sampling& sampling, const std::string& prefix) {
  const auto strings = sampling.stop_strings.size(), tokens = sampling.stop_tokens.size();
  Faults faults(prefix);
  faults.Require(strings <= 16, "stop_strings", absl::StrCat("a list of ", strings), "at most 16");
  faults.Require(tokens <= 64, "stop_tokens", absl::StrCat("a list of ", tokens), "at most 64");
  if (strings > 16) return faults.Take();
  for (const auto& text : sampling.stop_strings) {
    faults.Require(!text.empty() && text.size() <= 256, "stop_strings",
                   absl::StrCat("a string of ", text.size(), " bytes"), "1 to 256 bytes each");
  }
  return faults.Take();
}

void CheckStops(const SamplingParams& params, int32_t vocab_size, const std::string& prefix,
                Faults& faults) {
  const absl::Status sizes = CheckStopSizes(params, prefix);
  faults.Add(sizes);
  if (!sizes.ok()) return;
  const auto limit = absl::StrCat("in [0, ", vocab_size, ")");
  for (const TokenId token : params.stop_tokens) {
    faults.Require(token >= 0 && token < vocab_size, "stop_tokens", token, limit.c_str());
  }
}

}  // namespace

absl::Status ValidateStops(const SamplingOverrides& overrides, const std::string& field_prefix) {
  return CheckStopSizes(overrides, field_prefix);
}

SamplingParams ApplyOverrides(SamplingParams base, const SamplingOverrides& overrides) {
  Take(overrides.temperature, base.temperature);
  Take(overrides.top_k, base.top_k);
  Take(overrides.top_p, base.top_p);
  Take(overrides.min_p, base.min_p);
  Take(overrides.repetition_penalty, base.repetition_penalty);
  Take(overrides.presence_penalty, base.presence_penalty);
  Take(overrides.frequency_penalty, base.frequency_penalty);
  Take(overrides.penalty_last_n, base.penalty_last_n);
  if (overrides.seed) base.seed = overrides.seed;
  if (!overrides.stop_strings.empty()) base.stop_strings = overrides.stop_strings;
  if (!overrides.stop_tokens.empty()) base.stop_tokens = overrides.stop_tokens;
  Take(overrides.ignore_end_of_turn, base.ignore_end_of_turn);
  Take(overrides.max_tokens, base.max_tokens);
  if (overrides.top_logprobs) base.top_logprobs = overrides.top_logprobs;
  return base;
}

absl::Status ValidateTopLogprobs(int32_t top_logprobs, const std::string& field_prefix) {
  if (top_logprobs >= 0 && top_logprobs <= 20) return absl::OkStatus();
  return InvalidField(field_prefix + "top_logprobs",
                      absl::StrCat("is ", top_logprobs, "; must be in [0, 20]"));
}

absl::Status ValidateSampling(const SamplingParams& params, int32_t vocab_size,
                              int32_t max_tokens_limit, const std::string& field_prefix) {
  Faults faults(field_prefix);
  // Written so that NaN fails every one of them.
  const auto within = [](double value, double low, double high) {
    return value >= low && value <= high;
  };
  faults.Require(within(params.temperature, 0, 10), "temperature", params.temperature,
                 "in [0, 10]");
  faults.Require(params.top_k >= 0 && params.top_k <= vocab_size, "top_k", params.top_k,
                 absl::StrCat("in [0, ", vocab_size, "]").c_str());
  faults.Require(params.top_p > 0 && params.top_p <= 1, "top_p", params.top_p, "in (0, 1]");
  faults.Require(params.min_p >= 0 && params.min_p < 1, "min_p", params.min_p, "in [0, 1)");
  faults.Require(params.repetition_penalty > 0 && params.repetition_penalty <= 10,
                 "repetition_penalty", params.repetition_penalty, "in (0, 10]");
  faults.Require(within(params.presence_penalty, -10, 10), "presence_penalty",
                 params.presence_penalty, "in [-10, 10]");
  faults.Require(within(params.frequency_penalty, -10, 10), "frequency_penalty",
                 params.frequency_penalty, "in [-10, 10]");
  faults.Require(params.penalty_last_n >= 0 && params.penalty_last_n <= kMaxPenaltyLastN,
                 "penalty_last_n", params.penalty_last_n, "in [0, 4096]");
  faults.Require(params.max_tokens >= 1 && params.max_tokens <= max_tokens_limit, "max_tokens",
                 params.max_tokens, absl::StrCat("in [1, ", max_tokens_limit, "]").c_str());
  if (params.top_logprobs) {
    faults.Add(ValidateTopLogprobs(*params.top_logprobs, field_prefix));
  }
  CheckStops(params, vocab_size, field_prefix, faults);
  return faults.Take();
}

}  // namespace sinkstream
