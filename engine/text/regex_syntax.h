// What a pre-tokenizer's regular expression may use: the part of the syntax that Oniguruma (the
// `tokenizers` package) and PCRE2 read alike and that cannot run away on any text. The patterns of
// GPT-2, LLaMA-3, Qwen2, BLOOM, DeepSeek and o200k are in it.
//
//   literals, . and escaped punctuation; \r \n \t; \s \S \d \D; \p{..} and \P{..} with general
//   categories
//   [...] of these and of ranges, with ^, without &&; in it classes without ^ and - (Oniguruma: as
//   if their brackets were not there)
//   (?:...), (?=...), (?!...), (?<=...), (?<!...), (?i:...) of ASCII letters, ' and | alone
//   |, and the quantifiers ? * + {n} {n,} {n,m} with a following ? (lazy), or + (possessive; not
//   after braces); a group takes ? alone
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace sinkstream {

// INVALID_ARGUMENT says which construct is not supported. Pure.
absl::Status CheckRegexSyntax(std::string_view pattern);

// `pattern` without the brackets of classes within classes, which PCRE2 would read as characters.
// Requires: CheckRegexSyntax takes it. Pure.
std::string WithoutNestedClasses(std::string_view pattern);

}  // namespace sinkstream
