#include "engine/text/detokenizer.h"

#include <algorithm>
#include <string_view>
#include <utility>

namespace sinkstream {

Detokenizer::Detokenizer(const Tokenizer& tokenizer, std::vector<std::string> stop_strings,
                         bool continues)
    : tokenizer_(tokenizer), stop_strings_(std::move(stop_strings)), begun_(continues) {}

std::string Detokenizer::Replaced(std::string_view bytes) const {
  return LossyUtf8(bytes, tokenizer_.ReplacesBrokenBytes() ? Broken::kByte : Broken::kPart);
}

std::string Detokenizer::Push(TokenId token) {
  if (stopped_.has_value()) return "";
  const std::string_view bytes = tokenizer_.TokenBytes(token);
  if (begun_) {
    bytes_ += bytes;
  } else if (!bytes.empty()) {
    begun_ = true;
    bytes_ += tokenizer_.FirstTokenBytes(token);
  }
  const size_t complete = CompleteUtf8Prefix(bytes_);
  const std::string characters = Replaced(std::string_view(bytes_).substr(0, complete));
  bytes_.erase(0, complete);
  return Release(characters, /*flush=*/false);
}

std::string Detokenizer::Flush() {
  if (stopped_.has_value()) return "";
  const std::string characters = Replaced(std::exchange(bytes_, ""));
  return Release(characters, /*flush=*/true);
}

std::string Detokenizer::Release(const std::string& characters, bool flush) {
  const size_t searched = held_.size();
  held_ += characters;
  FindStop(searched);
  const size_t kept = flush || stopped_.has_value() ? 0 : HeldBack();
  std::string released = held_.substr(0, held_.size() - kept);
  held_.erase(0, released.size());
  return released;
}

void Detokenizer::FindStop(size_t searched) {
  for (size_t end = searched + 1; end <= held_.size(); ++end) {
    const std::string_view text = std::string_view(held_).substr(0, end);
    const std::string* longest = nullptr;
    for (const std::string& stop : stop_strings_) {
      if (text.ends_with(stop) && (longest == nullptr || stop.size() > longest->size())) {
        longest = &stop;
      }
    }
    if (longest == nullptr) continue;
    stopped_ = *longest;
    held_.resize(end - longest->size());
    return;
  }
}

size_t Detokenizer::HeldBack() const {
  size_t longest = 0;
  const std::string_view held = held_;
  for (const std::string& stop : stop_strings_) {
    for (size_t size = std::min(stop.size() - 1, held.size()); size > longest; --size) {
      if (held.ends_with(std::string_view(stop).substr(0, size))) {
        longest = size;
        break;
      }
    }
  }
  return longest;
}

}  // namespace sinkstream
