#include "engine/text/chat_format.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/text/json_fields.h"
#include "engine/text/utf8.h"

namespace sinkstream {
namespace {

using nlohmann::json;

constexpr int kFormatVersion = 1;

// ---- Encoding
// ----------------------------------------------------------------------------------------------------

// Joins text parts that touch.
class PartEncoder {
 public:
  explicit PartEncoder(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  void Add(std::string_view text) { text_ += text; }
  void Add(TokenId token) {
    EncodeText();
    tokens_.push_back(token);
  }
  void Add(const std::vector<ChatPart>& parts) {
    for (const ChatPart& part : parts) {
      std::visit([this](const auto& value) { Add(value); }, part);
    }
  }
  std::vector<TokenId> Finish() {
    EncodeText();
    return std::move(tokens_);
  }

 private:
  void EncodeText() {
    const std::vector<TokenId> ids = tokenizer_.Encode(std::exchange(text_, ""));
    tokens_.insert(tokens_.end(), ids.begin(), ids.end());
  }

  const Tokenizer& tokenizer_;
  std::string text_;
  std::vector<TokenId> tokens_;
};

// What Python's str.strip takes away.
bool IsPythonSpace(uint32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
         c == 0x205F || c == 0x3000;
}

std::string_view Strip(std::string_view text) {
  size_t begin = text.size();
  size_t end = 0;
  for (size_t i = 0; i < text.size();) {
    const CodePoint character = FirstCodePoint(text.substr(i));
    if (!IsPythonSpace(character.value)) {
      begin = std::min(begin, i);
      end = i + character.size;
    }
    i += character.size;
  }
  return begin < end ? text.substr(begin, end - begin) : std::string_view();
}

// ---- Reading chat_format.json
// ------------------------------------------------------------------------------------

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

absl::Status ParseRole(const json& file, const char* name, int32_t vocab_size, ChatRole& role) {
  const json* object = FindField(file, name);
  if (object == nullptr) return Malformed(absl::StrCat(name, " is missing"));
  const std::string where = absl::StrCat(name, ".");
  if (absl::Status status = ParseParts(*object, "prefix", where, vocab_size, role.prefix);
      !status.ok()) {
    return status;
  }
  return ParseParts(*object, "suffix", where, vocab_size, role.suffix);
}

absl::Status ParseScalars(const json& file, ChatFormat& format) {
  const json* version = FindField(file, "format_version");
  if (version == nullptr || *version != kFormatVersion) {
    return Malformed(absl::StrCat("format_version ", version == nullptr ? "null" : version->dump(),
                                  " is not known, only ", kFormatVersion));
  }
  const json* name = FindField(file, "name");
  if (name == nullptr || !name->is_string()) return Malformed("name is no string");
  format.name = name->get<std::string>();
  const json* trim = FindField(file, "trim");
  if (trim == nullptr || !trim->is_boolean()) return Malformed("trim is no boolean");
  format.trim = trim->get<bool>();
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

std::vector<TokenId> ChatFormat::EncodeBegin(const Tokenizer& tokenizer,
                                             const std::optional<std::string>& system_text) const {
  PartEncoder encoder(tokenizer);
  encoder.Add(begin);
  const std::optional<std::string>& text = system_text.has_value() ? system_text : default_system;
  if (text.has_value()) {
    encoder.Add(system.prefix);
    encoder.Add(trim ? Strip(*text) : std::string_view(*text));
    encoder.Add(system.suffix);
  }
  return encoder.Finish();
}

std::vector<TokenId> ChatFormat::EncodeUserTurn(const Tokenizer& tokenizer,
                                                std::string_view text) const {
  PartEncoder encoder(tokenizer);
  encoder.Add(user.prefix);
  encoder.Add(trim ? Strip(text) : text);
  encoder.Add(user.suffix);
  encoder.Add(assistant.prefix);
  return encoder.Finish();
}

std::vector<TokenId> ChatFormat::EncodeEndOfReply(const Tokenizer& tokenizer,
                                                  std::optional<TokenId> last) const {
  std::vector<ChatPart> parts = assistant.suffix;
  if (last.has_value() && !parts.empty() && parts.front() == ChatPart(*last)) {
    parts.erase(parts.begin());
  }
  PartEncoder encoder(tokenizer);
  encoder.Add(parts);
  return encoder.Finish();
}

absl::StatusOr<ChatFormat> ParseChatFormat(std::string_view text, int32_t vocab_size) {
  const json file = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!file.is_object()) return Malformed("no JSON object");
  ChatFormat format;
  absl::Status status = ParseScalars(file, format);
  if (status.ok()) status = ParseParts(file, "begin", "", vocab_size, format.begin);
  if (status.ok()) status = ParseRole(file, "system", vocab_size, format.system);
  if (status.ok()) status = ParseRole(file, "user", vocab_size, format.user);
  if (status.ok()) status = ParseRole(file, "assistant", vocab_size, format.assistant);
  if (status.ok()) status = ParseStopTokens(file, vocab_size, format);
  if (!status.ok()) return status;
  return format;
}

}  // namespace sinkstream
