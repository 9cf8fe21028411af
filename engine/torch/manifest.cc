#include "engine/torch/manifest.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "engine/text/json_document.h"

namespace sinkstream {
namespace {

using Json = nlohmann::json;

constexpr int64_t kMostTokens = int64_t{1} << 40;
constexpr int64_t kLargestSize = int64_t{1} << 24;
// Of a token's keys: a hundred times the largest models', and no size made of it overflows.
constexpr int64_t kMostKeyElements = int64_t{1} << 24;

absl::Status Bad(const std::string& problem) {
  return absl::InvalidArgumentError(absl::StrCat("manifest.json: ", problem));
}

// Reads fields and keeps the first problem met.
class FieldReader {
 public:
  explicit FieldReader(const Json& json) : json_(json) {}

  std::string Text(const char* name) {
    const auto at = json_.find(name);
    if (at != json_.end() && at->is_string()) return at->get<std::string>();
    Fail(absl::StrCat(name, " must be a string"));
    return "";
  }

  std::string TextOr(const char* name, const char* otherwise) {
    return json_.contains(name) ? Text(name) : otherwise;
  }

  int64_t Number(const char* name, int64_t least, int64_t most) {
    const auto at = json_.find(name);
    if (at != json_.end() && at->is_number_integer()) {
      const bool huge = at->is_number_unsigned() && at->get<uint64_t>() > uint64_t{1} << 62;
      const int64_t value = huge ? most + 1 : at->get<int64_t>();
      if (least <= value && value <= most) return value;
    }
    Fail(absl::StrCat(name, " must be a whole number from ", least, " to ", most));
    return least;
  }

  int32_t Size(const char* name) { return static_cast<int32_t>(Number(name, 1, kLargestSize)); }

  // A token of the vocabulary; absent or null: none.
  std::optional<TokenId> Token(const char* name, int32_t vocab_size) {
    const auto at = json_.find(name);
    if (at == json_.end() || at->is_null()) return std::nullopt;
    return static_cast<TokenId>(Number(name, 0, vocab_size - 1));
  }

  void Fail(const std::string& problem) {
    if (status_.ok()) status_ = Bad(problem);
  }
  const absl::Status& status() const { return status_; }

 private:
  const Json& json_;
  absl::Status status_;
};

absl::Status CheckFormat(const Json& json) {
  if (!json.is_object()) return Bad("is not a JSON object");
  if (json.value("magic", Json()) != Json("sinkstream-model")) {
    return Bad("magic is not \"sinkstream-model\"");
  }
  FieldReader fields(json);
  const int64_t version = fields.Number("format_version", 1, kMostTokens);
  if (!fields.status().ok()) return fields.status();
  if (version > kModelFormatVersion) {
    return Bad(absl::StrCat("made by a newer exporter: format ", version, ", this server reads ",
                            kModelFormatVersion));
  }
  return absl::OkStatus();
}

void CheckOneOf(const char* name, const std::string& value,
                absl::Span<const absl::string_view> supported, FieldReader& fields) {
  if (std::find(supported.begin(), supported.end(), value) == supported.end()) {
    fields.Fail(absl::StrCat(name, " \"", value, "\" is not supported (supported: ",
                             absl::StrJoin(supported, ", "), ")"));
  }
}

void CheckTogether(const ModelManifest& manifest, FieldReader& fields) {
  CheckOneOf("dtype", manifest.dtype, {"float32", "bfloat16", "int8", "int4"}, fields);
  CheckOneOf("kv_dtype", manifest.kv_dtype, {"float32", "bfloat16", "int8"}, fields);
  if (manifest.heads % manifest.kv_heads != 0) {
    fields.Fail(absl::StrCat("heads ", manifest.heads, " is not a multiple of kv_heads ",
                             manifest.kv_heads));
  }
  const int64_t key_elements = int64_t{manifest.layers} * manifest.kv_heads * manifest.head_dim;
  if (key_elements > kMostKeyElements) {
    fields.Fail(absl::StrCat("layers x kv_heads x head_dim is ", key_elements, ", more than ",
                             kMostKeyElements));
  }
}

ModelManifest ReadFields(FieldReader& fields) {
  ModelManifest manifest;
  manifest.name = fields.Text("name");
  manifest.architecture = fields.Text("architecture");
  manifest.dtype = fields.Text("dtype");
  manifest.kv_dtype =
      fields.TextOr("kv_dtype", manifest.dtype == "float32" ? "float32" : "bfloat16");
  manifest.vocab_size = fields.Size("vocab_size");
  manifest.layers = fields.Size("layers");
  manifest.heads = fields.Size("heads");
  manifest.kv_heads = fields.Size("kv_heads");
  manifest.head_dim = static_cast<int32_t>(fields.Number("head_dim", 1, 512));
  manifest.trained_context = fields.Number("trained_context", 1, kMostTokens);
  manifest.bos_token = fields.Token("bos_token", manifest.vocab_size);
  manifest.eos_token = fields.Token("eos_token", manifest.vocab_size);
  manifest.digest = fields.Text("digest");
  CheckTogether(manifest, fields);
  return manifest;
}

}  // namespace

absl::StatusOr<ModelManifest> ParseManifest(const std::string& json) {
  const absl::StatusOr<Json> parsed = ParseJsonDocument(json);
  if (!parsed.ok()) return Bad(std::string(parsed.status().message()));
  if (absl::Status status = CheckFormat(*parsed); !status.ok()) return status;
  FieldReader fields(*parsed);
  ModelManifest manifest = ReadFields(fields);
  if (!fields.status().ok()) return fields.status();
  return manifest;
}

}  // namespace sinkstream
