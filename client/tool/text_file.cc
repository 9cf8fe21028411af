#include "client/tool/text_file.h"

#include <cerrno>
#include <cstdio>
#include <memory>

#include "absl/strings/str_cat.h"
#include "client/utf8.h"

namespace sinkstream {
namespace {

absl::Status ReadError(const std::string& path) {
  const absl::Status why = absl::ErrnoToStatus(errno, "cannot read");
  return absl::Status(why.code(), absl::StrCat(path, ": ", why.message()));
}

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  const std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(path.c_str(), "rb"), std::fclose);
  if (!file) return ReadError(path);
  std::string content;
  std::string buffer(size_t{1} << 16, '\0');
  while (const size_t count = std::fread(buffer.data(), 1, buffer.size(), file.get())) {
    content.append(buffer, 0, count);
  }
  if (std::ferror(file.get())) return ReadError(path);
  return content;
}

}  // namespace

bool IsCharacterBoundary(std::string_view text, size_t offset) {
  return offset >= text.size() || (static_cast<unsigned char>(text[offset]) & 0xc0) != 0x80;
}

absl::StatusOr<std::string> ReadText(const std::string& path, int64_t skip_characters) {
  absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) return text.status();
  if (text->empty()) return absl::InvalidArgumentError(absl::StrCat(path, ": the file is empty"));
  if (!IsUtf8(*text)) return absl::InvalidArgumentError(absl::StrCat(path, ": is not UTF-8"));
  size_t begin = 0;
  for (int64_t skipped = 0; skipped < skip_characters && begin < text->size(); ++skipped) {
    do {
      ++begin;
    } while (!IsCharacterBoundary(*text, begin));
  }
  if (begin == text->size()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": has no more than the ", skip_characters, " characters to skip"));
  }
  return text->substr(begin);
}

}  // namespace sinkstream
