// ModelManifest: what serving needs of what a model file says about itself
// (docs/model_artifact.md). No torch.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "engine/types.h"

namespace sinkstream {

inline constexpr int64_t kModelFormatVersion = 1;

struct ModelManifest {
  std::string name;
  std::string architecture;
  std::string dtype;     // of the weights: "float32", "bfloat16", "int8" or "int4"
  std::string kv_dtype;  // of the cache, unless it is told: "float32", "bfloat16" or "int8"
  int32_t vocab_size = 0;
  int32_t layers = 0;
  int32_t heads = 0;
  int32_t kv_heads = 0;
  int32_t head_dim = 0;
  int64_t trained_context = 0;  // tokens
  std::optional<TokenId> bos_token;
  std::optional<TokenId> eos_token;
  std::string digest;  // hexadecimal; names the model's contents
};

// INVALID_ARGUMENT, in one line: not JSON, another magic, a format this reader does not know, a
// field that is missing, of another type or out of range.
absl::StatusOr<ModelManifest> ParseManifest(const std::string& json);

}  // namespace sinkstream
