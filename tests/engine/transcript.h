// Events as text, times aside: what two runs are compared by. How a prompt is cut into chunks
// depends on who else is served, so progress is left out and scores are told token by token.
#pragma once

#include <string>
#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/types.h"

namespace sinkstream {

inline std::string Describe(const TokenLogprob& logprob) {
  return absl::StrCat(logprob.token, ":", logprob.logprob);
}

inline std::string Describe(const ChosenLogprob& logprob) {
  const auto entry = [](std::string* out, const TokenLogprob& one) {
    absl::StrAppend(out, Describe(one));
  };
  return absl::StrCat(Describe(logprob.chosen), "(", absl::StrJoin(logprob.top, " ", entry), ")");
}

inline std::string Describe(const Usage& usage) {
  return absl::StrCat(usage.prompt_tokens, "+", usage.generated_tokens, " cached ",
                      usage.cached_tokens, " evicted ", usage.evicted_tokens);
}

struct DescribeEvent {
  std::string operator()(const Opened& e) const {
    return absl::StrCat("opened at ", e.position, " evicted ", e.evicted, " bytes ", e.kv_bytes,
                        "\n");
  }
  std::string operator()(const PrefillProgress&) const { return ""; }
  std::string operator()(const Delta& e) const {
    std::string line = absl::StrCat("delta '", e.text, "' ", absl::StrJoin(e.tokens, " "));
    for (const auto& logprob : e.logprobs) absl::StrAppend(&line, " ", Describe(logprob));
    return line + "\n";
  }
  std::string operator()(const Scores& e) const {
    std::string lines;
    for (const auto& logprob : e.logprobs)
      absl::StrAppend(&lines, "score ", Describe(logprob), "\n");
    return lines;
  }
  std::string operator()(const TurnDone& e) const {
    return absl::StrCat("turn done for ", static_cast<int>(e.reason), " '", e.stop_string,
                        "' seed ", e.seed, " ", Describe(e.usage), "\n");
  }
  std::string operator()(const AppendDone& e) const {
    return absl::StrCat("append done ", Describe(e.usage), " held ", e.held_bytes, "\n");
  }
  std::string operator()(const WindowMoved& e) const {
    return absl::StrCat("window at ", e.position, " evicted ", e.evicted, " from ", e.first_recent,
                        "\n");
  }
  std::string operator()(const GoAway&) const { return "go away\n"; }
  std::string operator()(const RequestFailed& e) const {
    return absl::StrCat("failed ", e.status.ToString(), "\n");
  }
};

inline std::string Describe(const Event& event) { return std::visit(DescribeEvent(), event); }

}  // namespace sinkstream
