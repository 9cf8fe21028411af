#include "engine/text/decoder.h"

#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "engine/text/byte_level.h"
#include "engine/text/json_fields.h"
#include "engine/text/normalizer.h"
#include "nlohmann/json.hpp"

namespace sinkstream {
namespace {

using nlohmann::json;

absl::Status DecoderFault(const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat("decoder ", what));
}

bool HasNumber(const json& object, const char* name, int value) {
  const json* field = FindField(object, name);
  return field != nullptr && *field == value;
}

}  // namespace

absl::StatusOr<Decoder> Decoder::Parse(const json& decoder) {
  Decoder result;
  const json* children = FindField(decoder, "decoders");
  const bool sequence =
      TypeOf(decoder) == "Sequence" && children != nullptr && children->is_array();
  if (sequence && children->size() > 1) {
    for (const json& component : *children) {
      if (absl::Status status = result.AddToSequence(component); !status.ok()) return status;
    }
    return result;
  }
  const json& only = sequence && children->size() == 1 ? children->front() : decoder;
  if (TypeOf(only) == "ByteLevel") {
    result.byte_level_ = true;
    return result;
  }
  if (TypeOf(only) != "Metaspace") return DecoderFault(TypeOf(only) + " is not supported");
  const std::string* replacement = FindString(only, "replacement");
  if (replacement == nullptr || *replacement != kMetaspace) {
    return DecoderFault(absl::StrCat("Metaspace: replacement must be ", std::string(kMetaspace)));
  }
  const std::string* scheme = FindString(only, "prepend_scheme");
  result.drops_all_metaspace_ =
      scheme == nullptr ? !HasBool(only, "add_prefix_space", false) : *scheme != "never";
  result.replaced_ = {{std::string(kMetaspace), " "}};
  return result;
}

absl::Status Decoder::AddToSequence(const json& component) {
  const std::string type = TypeOf(component);
  if (type == "Replace") {
    const json* pattern = FindField(component, "pattern");
    const std::string* literal = pattern == nullptr ? nullptr : FindString(*pattern, "String");
    const std::string* content = FindString(component, "content");
    if (literal == nullptr || literal->empty() || content == nullptr) {
      return DecoderFault("Replace: supported with a pattern String that is not empty");
    }
    if (byte_fallback_ || fuse_) return DecoderFault("Replace after ByteFallback or Fuse");
    replaced_.emplace_back(*literal, *content);
    return absl::OkStatus();
  }
  if (type == "ByteFallback") {
    if (fuse_) return DecoderFault("ByteFallback after Fuse");
    byte_fallback_ = true;
    return absl::OkStatus();
  }
  if (type == "Fuse") {
    fuse_ = true;
    return absl::OkStatus();
  }
  if (type != "Strip")
    return DecoderFault(absl::StrCat("Sequence with ", type, " is not supported"));
  const std::string* content = FindString(component, "content");
  if (!fuse_ || strip_ || content == nullptr || *content != " " ||
      !HasNumber(component, "start", 1) || !HasNumber(component, "stop", 0)) {
    return DecoderFault("Strip: supported after Fuse, of one space at the start");
  }
  strip_ = true;
  return absl::OkStatus();
}

std::string Decoder::Bytes(std::string_view text) const {
  if (byte_level_) return ByteLevelBytes(text).value_or(std::string(text));
  std::string bytes(text);
  for (const auto& [pattern, content] : replaced_) bytes = ReplaceAll(bytes, pattern, content);
  if (!byte_fallback_) return bytes;
  if (const auto byte = ByteOfToken(bytes)) return std::string(1, *byte);
  return bytes;
}

std::string Decoder::FirstBytes(std::string_view text) const {
  if (drops_all_metaspace_) return ReplaceAll(text, kMetaspace, "");
  std::string bytes = Bytes(text);
  if (strip_ && bytes.starts_with(' ')) bytes.erase(0, 1);
  return bytes;
}

}  // namespace sinkstream
