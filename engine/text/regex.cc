#include "engine/text/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <array>
#include <string>

#include "absl/strings/str_cat.h"
#include "engine/text/regex_syntax.h"
#include "engine/text/utf8.h"

namespace sinkstream {
namespace {

PCRE2_SPTR Bytes(std::string_view text) { return reinterpret_cast<PCRE2_SPTR>(text.data()); }

struct FreeCompileContext {
  void operator()(pcre2_compile_context* context) const { pcre2_compile_context_free(context); }
};

std::string ErrorText(int error) {
  std::array<PCRE2_UCHAR, 256> text{};
  pcre2_get_error_message(error, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

// Steps of one match: what a pattern that is linear in the text may take, with much to spare.
uint32_t MatchLimit(size_t text_size) {
  constexpr size_t kLeast = 10'000'000, kPerByte = 100, kMost = 1'000'000'000;
  return static_cast<uint32_t>(std::min(kLeast + kPerByte * text_size, kMost));
}

}  // namespace

absl::StatusOr<Regex> Regex::Compile(std::string_view pattern) {
  if (absl::Status status = CheckRegexSyntax(pattern); !status.ok()) return status;
  const std::string flat = WithoutNestedClasses(pattern);
  // "." is anything but \n, as in Oniguruma, whatever PCRE2 was built with.
  std::unique_ptr<pcre2_compile_context, FreeCompileContext> context(
      pcre2_compile_context_create(nullptr));
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int error = 0;
  PCRE2_SIZE offset = 0;
  pcre2_code* code = pcre2_compile(Bytes(flat), flat.size(), PCRE2_UTF | PCRE2_UCP, &error, &offset,
                                   context.get());
  if (code == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("regular expression, at byte ", offset, ": ", ErrorText(error)));
  }
  return Regex(code);
}

Regex::Regex(pcre2_real_code_8* code)
    : code_(code), compiled_to_machine_code_(pcre2_jit_compile(code, PCRE2_JIT_COMPLETE) == 0) {}

void Regex::FreeCode::operator()(pcre2_real_code_8* code) const { pcre2_code_free(code); }

void Regex::Matches::FreeMatchData::operator()(pcre2_real_match_data_8* data) const {
  pcre2_match_data_free(data);
}

void Regex::Matches::FreeMatchContext::operator()(pcre2_real_match_context_8* context) const {
  pcre2_match_context_free(context);
}

Regex::Matches::Matches(const Regex& regex, std::string_view text)
    : regex_(regex),
      text_(text),
      data_(pcre2_match_data_create(1, nullptr)),
      context_(pcre2_match_context_create(nullptr)) {
  const uint32_t limit = MatchLimit(text.size());
  pcre2_set_match_limit(context_.get(), limit);
  pcre2_set_depth_limit(context_.get(), limit);
}

bool Regex::Matches::MatchFrom(size_t begin) {
  int result = PCRE2_ERROR_JIT_STACKLIMIT;
  if (regex_.compiled_to_machine_code_) {
    result = pcre2_jit_match(regex_.code_.get(), Bytes(text_), text_.size(), begin, 0, data_.get(),
                             context_.get());
  }
  if (result == PCRE2_ERROR_JIT_STACKLIMIT) {
    result = pcre2_match(regex_.code_.get(), Bytes(text_), text_.size(), begin,
                         PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, data_.get(), context_.get());
  }
  if (result < 0 && result != PCRE2_ERROR_NOMATCH) {
    status_ = absl::ResourceExhaustedError(absl::StrCat(
        "regular expression, from byte ", begin, " of ", text_.size(), ": ", ErrorText(result)));
  }
  return result >= 0;
}

std::optional<std::pair<size_t, size_t>> Regex::Matches::Next() {
  while (next_ <= text_.size() && MatchFrom(next_)) {
    const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(data_.get());
    const size_t begin = bounds[0];
    const size_t end = bounds[1];
    if (begin == end && last_end_ == end) {
      next_ += next_ < text_.size() ? FirstCodePoint(text_.substr(next_)).size : 1;
      continue;
    }
    next_ = end;
    last_end_ = end;
    return std::pair(begin, end);
  }
  return std::nullopt;
}

}  // namespace sinkstream
