#include "engine/text/unicode_normalization.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <vector>

#include "engine/text/unicode.h"
#include "engine/text/utf8.h"

namespace sinkstream {
namespace {

using CodePoints = std::vector<utf8proc_int32_t>;

constexpr size_t kLongestDecomposition = 32;  // Unicode: 18 code points

bool IsCompatible(NormalizationForm form) {
  return form == NormalizationForm::kNfkc || form == NormalizationForm::kNfkd;
}

bool Composes(NormalizationForm form) {
  return form == NormalizationForm::kNfc || form == NormalizationForm::kNfkc;
}

bool IsMark(utf8proc_int32_t code_point) {
  const utf8proc_category_t category = utf8proc_category(code_point);
  return category == UTF8PROC_CATEGORY_MN || category == UTF8PROC_CATEGORY_MC ||
         category == UTF8PROC_CATEGORY_ME;
}

// Vowels and final consonants compose with what is before them.
bool IsHangulJamo(utf8proc_int32_t c) {
  return (c >= 0x1100 && c <= 0x11FF) || (c >= 0xD7B0 && c <= 0xD7FF);
}

void Decompose(uint32_t code_point, NormalizationForm form, CodePoints& to) {
  std::array<utf8proc_int32_t, kLongestDecomposition> parts{};
  int boundary_class = 0;
  const int options =
      UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | (IsCompatible(form) ? UTF8PROC_COMPAT : 0);
  const auto count =
      utf8proc_decompose_char(static_cast<utf8proc_int32_t>(code_point), parts.data(), parts.size(),
                              static_cast<utf8proc_option_t>(options), &boundary_class);
  to.insert(to.end(), parts.begin(), parts.begin() + count);
}

// utf8proc sorts by insertion, which is quadratic in a long run of marks.
void SortMarks(CodePoints& code_points) {
  const auto combining_class = [](utf8proc_int32_t c) {
    return utf8proc_get_property(c)->combining_class;
  };
  for (auto run = code_points.begin(); run != code_points.end();) {
    run = std::find_if(run, code_points.end(), [&](auto c) { return combining_class(c) != 0; });
    const auto end =
        std::find_if(run, code_points.end(), [&](auto c) { return combining_class(c) == 0; });
    std::stable_sort(run, end,
                     [&](auto a, auto b) { return combining_class(a) < combining_class(b); });
    run = end;
  }
}

// Appends the normal form of `stretch` and empties it.
void Finish(CodePoints& stretch, NormalizationForm form, std::string& to) {
  SortMarks(stretch);
  size_t size = stretch.size();
  if (Composes(form)) {
    constexpr auto kOptions = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    size = static_cast<size_t>(
        utf8proc_normalize_utf32(stretch.data(), static_cast<utf8proc_ssize_t>(size), kOptions));
  }
  for (size_t i = 0; i < size; ++i) to += EncodeUtf8(static_cast<uint32_t>(stretch[i]));
  stretch.clear();
}

bool IsAscii(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return static_cast<uint8_t>(c) < 0x80; });
}

// The character alone is in normal form, and nothing before it moves or takes it.
bool StandsAlone(std::string_view character, NormalizationForm form) {
  const auto code_point = static_cast<utf8proc_int32_t>(FirstCodePoint(character).value);
  if (code_point < 0x80 || IsNewToNormalizers(static_cast<uint32_t>(code_point))) return true;
  return !IsMark(code_point) && !IsHangulJamo(code_point) &&
         NormalizeUnicode(character, form) == character;
}

}  // namespace

std::string NormalizeUnicode(std::string_view text, NormalizationForm form) {
  if (IsAscii(text)) return std::string(text);
  std::string normalized;
  normalized.reserve(text.size());
  CodePoints stretch;
  for (size_t i = 0; i < text.size();) {
    const CodePoint character = FirstCodePoint(text.substr(i));
    i += character.size;
    if (IsNewToNormalizers(character.value)) {
      Finish(stretch, form, normalized);
      normalized += EncodeUtf8(character.value);
    } else {
      Decompose(character.value, form, stretch);
    }
  }
  Finish(stretch, form, normalized);
  return normalized;
}

bool IsNormalizationBoundary(std::string_view text, size_t at, NormalizationForm form) {
  const size_t before = CharacterBefore(text, at);
  const size_t size = FirstCodePoint(text.substr(at)).size;
  return StandsAlone(text.substr(before, at - before), form) &&
         StandsAlone(text.substr(at, size), form);
}

}  // namespace sinkstream
