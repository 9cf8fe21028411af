// Regex: a regular expression of a pre-tokenizer, matched as the `tokenizers` package matches it
// (Oniguruma). PCRE2's types stay in regex.cc. Immutable; any thread.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

struct pcre2_real_code_8;
struct pcre2_real_match_context_8;
struct pcre2_real_match_data_8;

namespace sinkstream {

class Regex {
 public:
  // INVALID_ARGUMENT for what CheckRegexSyntax refuses and what PCRE2 does not compile.
  static absl::StatusOr<Regex> Compile(std::string_view pattern);

  // Finds match after match in one text. Not for several threads; `regex` and the text outlive it.
  class Matches {
   public:
    // `text`: valid UTF-8, from WithKnownCategories.
    Matches(const Regex& regex, std::string_view text);

    // Begin and end of the next match, in bytes. An empty match right after the last one is passed
    // over.
    std::optional<std::pair<size_t, size_t>> Next();

    // RESOURCE_EXHAUSTED if Next stopped because PCRE2 gave up, not because nothing matches: a
    // pattern that tries a run in ever more ways (a*a*b) on a long text. Those of published models
    // do not.
    const absl::Status& status() const { return status_; }

   private:
    struct FreeMatchData {
      void operator()(pcre2_real_match_data_8* data) const;
    };
    struct FreeMatchContext {
      void operator()(pcre2_real_match_context_8* context) const;
    };
    bool MatchFrom(size_t begin);

    const Regex& regex_;
    const std::string_view text_;
    std::unique_ptr<pcre2_real_match_data_8, FreeMatchData> data_;
    std::unique_ptr<pcre2_real_match_context_8, FreeMatchContext> context_;
    size_t next_ = 0;
    std::optional<size_t> last_end_;
    absl::Status status_;
  };

 private:
  struct FreeCode {
    void operator()(pcre2_real_code_8* code) const;
  };
  explicit Regex(pcre2_real_code_8* code);

  std::unique_ptr<pcre2_real_code_8, FreeCode> code_;
  bool compiled_to_machine_code_ = false;
};

}  // namespace sinkstream
