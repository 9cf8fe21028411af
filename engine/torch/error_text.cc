#include "engine/torch/error_text.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "engine/text/utf8.h"

namespace sinkstream {
namespace {

constexpr size_t kLongestReason = 200;

// Bytes of the character that `text` begins with; 0 if it is broken or one that must not be
// printed.
size_t PrintableSize(std::string_view text) {
  size_t size = 1;
  while (size < 4 && size < text.size() && IsUtf8Continuation(text[size])) ++size;
  while (size > 1 && !IsValidUtf8(text.substr(0, size))) --size;
  if (!IsValidUtf8(text.substr(0, size))) return 0;
  const uint32_t code = FirstCodePoint(text).value;
  const bool control = code < 0x20 || (code >= 0x7F && code < 0xA0);
  const bool separator = code == 0x2028 || code == 0x2029;  // of lines and of paragraphs
  return control || separator ? 0 : size;
}

std::string Escaped(char byte) {
  if (byte == '\n') return "\\n";
  if (byte == '\r') return "\\r";
  if (byte == '\t') return "\\t";
  return absl::StrCat("\\x", absl::Hex(static_cast<uint8_t>(byte), absl::kZeroPad2));
}

}  // namespace

std::string Reason(const std::exception& error) {
  std::string_view text = error.what();
  constexpr std::string_view kScript = "RuntimeError: ";  // before what TorchScript raised
  if (const size_t at = text.rfind(kScript); at != text.npos)
    text.remove_prefix(at + kScript.size());
  constexpr std::string_view kWhereEnds = "] . ";  // of "[enforce fail at file:line] . "
  if (const size_t at = text.find(kWhereEnds); text.starts_with("[enforce") && at != text.npos) {
    text.remove_prefix(at + kWhereEnds.size());
  }
  text.remove_prefix(std::min(text.size(), text.find_first_not_of('\n')));
  return std::string(text.substr(0, std::min(text.find('\n'), kLongestReason)));
}

std::string OneLine(std::string_view text) {
  std::string line;
  while (!text.empty()) {
    const size_t size = PrintableSize(text);
    line.append(size > 0 ? std::string(text.substr(0, size)) : Escaped(text.front()));
    text.remove_prefix(std::max<size_t>(size, 1));
  }
  return line;
}

}  // namespace sinkstream
