// The views of Unicode that the `tokenizers` package has (0.23: Unicode 16 in its regular
// expressions, 17 in its Digits pre-tokenizer, 8 in its Punctuation one, 9 in its normalizers), so
// that none depends on the Unicode of the installed PCRE2 or utf8proc. Pure; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace sinkstream {

// Rust's char::is_numeric, Unicode 17: categories Nd, Nl and No.
bool IsNumeric(uint32_t code_point);

// What the Punctuation pre-tokenizer cuts at.
bool IsPunctuation(uint32_t code_point);

// The property White_Space.
bool IsWhiteSpace(uint32_t code_point);

// Bytes of it at the beginning and at the end of `text`. Requires: valid UTF-8.
size_t WhiteSpaceAtBegin(std::string_view text);
size_t WhiteSpaceAtEnd(std::string_view text);

// True for characters that the package's normalizers leave alone since they are newer than its
// Unicode (up to Unicode 18): they neither decompose, compose nor move.
bool IsNewToNormalizers(uint32_t code_point);

// Fills `substituted` with `text` in which every character that PCRE2 may see in another category
// than Unicode 16 does is replaced by an older one of the right category and of the same length in
// UTF-8, and returns it; returns `text` itself if it has no such character. Right with any PCRE2 of
// Unicode 14 to 16; a newer one would see characters that Unicode 16 does not have yet. Among the
// substituted is U+180E, which PCRE2's \s matches and Unicode's White_Space does not hold.
std::string_view WithKnownCategories(std::string_view text, std::string& substituted);

}  // namespace sinkstream
