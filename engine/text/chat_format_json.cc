#include "engine/text/chat_format_json.h"

#include <array>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/text/json_document.h"
#include "engine/text/json_fields.h"
#include "nlohmann/json.hpp"

namespace sinkstream {
namespace {

using nlohmann::json;

constexpr int kNewestVersion = 2;

absl::Status Malformed(const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat("chat_format.json: ", what));
}

absl::StatusOr<TokenId> ParseToken(const json& value, const std::string& where,
                                   int32_t vocab_size) {
  if (!value.is_number_integer() || value < 0 || value >= vocab_size) {
    return Malformed(
        absl::StrCat(where, ": ", value.dump(), " is no token id in [0, ", vocab_size, ")"));
  }
  return value.get<TokenId>();
}

absl::StatusOr<ChatPart> ParsePart(const json& part, const std::string& where, int32_t vocab_size) {
  const json* token = FindField(part, "token");
  const json* text = FindField(part, "text");
  if ((token == nullptr) == (text == nullptr)) {
    return Malformed(absl::StrCat(where, ": a part is either a token or a text"));
  }
  if (text != nullptr) {
    if (!text->is_string()) return Malformed(absl::StrCat(where, ": text is no string"));
    return ChatPart(text->get<std::string>());
  }
  const absl::StatusOr<TokenId> id = ParseToken(*token, where, vocab_size);
  if (!id.ok()) return id.status();
  return ChatPart(*id);
}

absl::Status ParseParts(const json& object, const char* name, const std::string& where,
                        int32_t vocab_size, std::vector<ChatPart>& parts) {
  const std::string path = where + name;
  const json* list = FindField(object, name);
  if (list == nullptr || !list->is_array()) return Malformed(absl::StrCat(path, " is no list"));
  for (const json& item : *list) {
    absl::StatusOr<ChatPart> part = ParsePart(item, path, vocab_size);
    if (!part.ok()) return part.status();
    parts.push_back(*std::move(part));
  }
  return absl::OkStatus();
}

absl::Status ParseTrim(const json& object, const std::string& where, Trim& trim) {
  const json* const sides = FindField(object, "trim");
  if (sides == nullptr) return absl::OkStatus();
  for (const auto& [name, value] :
       std::initializer_list<std::pair<const char*, Trim>>{{"none", {}},
                                                           {"start", {true, false}},
                                                           {"end", {false, true}},
                                                           {"both", {true, true}}}) {
    if (*sides != name) continue;
    trim = value;
    return absl::OkStatus();
  }
  return Malformed(absl::StrCat(where, "trim is none of none, start, end, both"));
}

// What a file of either version says of all its roles.
struct FileRules {
  int version = 0;
  int32_t vocab_size = 0;
  Trim trim = {};  // of version 1: of every text
};

absl::Status ParsePrefix(const json& object, const std::string& where, const FileRules& rules,
                         ChatRole& role) {
  role.trim = rules.trim;
  absl::Status status = ParseParts(object, "prefix", where, rules.vocab_size, role.prefix);
  if (status.ok() && rules.version > 1) status = ParseTrim(object, where, role.trim);
  return status;
}

absl::Status ParseRole(const json& file, const char* name, const FileRules& rules, ChatRole& role) {
  const json* const object = FindField(file, name);
  if (object == nullptr) return Malformed(absl::StrCat(name, " is missing"));
  const std::string where = absl::StrCat(name, ".");
  absl::Status status = ParsePrefix(*object, where, rules, role);
  if (status.ok()) status = ParseParts(*object, "suffix", where, rules.vocab_size, role.suffix);
  return status;
}

// The system's role, which version 2 may say is null, and the user's behind it.
absl::Status ParseSystem(const json& file, const FileRules& rules, ChatFormat& format) {
  const json* const system = FindField(file, "system");
  if (rules.version > 1 && system != nullptr && system->is_null()) {
    if (!format.default_system) return absl::OkStatus();
    return Malformed("default_system is given, but system is null");
  }
  absl::Status status = ParseRole(file, "system", rules, format.system.emplace());
  const json* const after = FindField(file, "user_after_system");
  if (!status.ok() || rules.version == 1 || after == nullptr) return status;
  format.user_after_system = format.user;
  format.user_after_system->prefix.clear();
  return ParsePrefix(*after, "user_after_system.", rules, *format.user_after_system);
}

absl::StatusOr<FileRules> ParseRules(const json& file, int32_t vocab_size) {
  const json* const version = FindField(file, "format_version");
  if (version == nullptr || (*version != 1 && *version != kNewestVersion)) {
    return Malformed(absl::StrCat("format_version ", version == nullptr ? "null" : version->dump(),
                                  " is not known, only 1 and ", kNewestVersion));
  }
  FileRules rules = {.version = version->get<int>(), .vocab_size = vocab_size};
  if (rules.version > 1) return rules;
  const json* const trim = FindField(file, "trim");
  if (trim == nullptr || !trim->is_boolean()) return Malformed("trim is no boolean");
  rules.trim = {trim->get<bool>(), trim->get<bool>()};
  return rules;
}

absl::Status ParseScalars(const json& file, ChatFormat& format) {
  const json* name = FindField(file, "name");
  if (name == nullptr || !name->is_string()) return Malformed("name is no string");
  format.name = name->get<std::string>();
  const json* own = FindField(file, "begin_is_tokenizers");
  if (own != nullptr && !own->is_boolean()) return Malformed("begin_is_tokenizers is no boolean");
  format.begin_is_tokenizers = own == nullptr ? format.name == "plain" : own->get<bool>();
  const json* system = FindField(file, "default_system");
  if (system == nullptr || system->is_null()) return absl::OkStatus();
  if (!system->is_string()) return Malformed("default_system is neither a string nor null");
  format.default_system = system->get<std::string>();
  return absl::OkStatus();
}

absl::Status ParseStopTokens(const json& file, int32_t vocab_size, ChatFormat& format) {
  const json* list = FindField(file, "stop_tokens");
  if (list == nullptr || !list->is_array()) return Malformed("stop_tokens is no list");
  for (const json& item : *list) {
    const absl::StatusOr<TokenId> token = ParseToken(item, "stop_tokens", vocab_size);
    if (!token.ok()) return token.status();
    format.stop_tokens.push_back(*token);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ChatFormat> ParseChatFormat(std::string_view text, int32_t vocab_size) {
  const absl::StatusOr<json> document = ParseJsonDocument(text);
  if (!document.ok()) return Malformed(std::string(document.status().message()));
  const json& file = *document;
  if (!file.is_object()) return Malformed("no JSON object");
  const auto rules = ParseRules(file, vocab_size);
  if (!rules.ok()) return rules.status();
  ChatFormat format;
  absl::Status status = ParseScalars(file, format);
  if (status.ok()) status = ParseParts(file, "begin", "", vocab_size, format.begin);
  if (status.ok()) status = ParseRole(file, "user", *rules, format.user);
  if (status.ok()) status = ParseSystem(file, *rules, format);
  if (status.ok()) status = ParseRole(file, "assistant", *rules, format.assistant);
  if (status.ok()) status = ParseStopTokens(file, vocab_size, format);
  if (!status.ok()) return status;
  return format;
}

}  // namespace sinkstream
