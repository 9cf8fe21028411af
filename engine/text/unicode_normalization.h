// The normalization forms of Unicode as the normalizers NFC, NFD, NFKC and NFKD of the `tokenizers`
// package apply them (Unicode 9, see unicode.h). The data are utf8proc's; its types stay in
// unicode_normalization.cc. Linear but for runs of combining marks, which are sorted. Pure; any
// thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace sinkstream {

enum class NormalizationForm { kNfc, kNfd, kNfkc, kNfkd };

// Requires: valid UTF-8.
std::string NormalizeUnicode(std::string_view text, NormalizationForm form);

// True if the text on either side of `at` is normalized without regard to the other side, and the
// two characters there do not change. Some such places may be missed. Requires: a character begins
// at `at`, 0 < at < text.size().
bool IsNormalizationBoundary(std::string_view text, size_t at, NormalizationForm form);

}  // namespace sinkstream
