// ModelArchive: the extra files of a model file, read without its weights. Refuses what is not one
// of ours. No torch type passes through here, and no exception.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "engine/torch/manifest.h"

namespace sinkstream {

struct ModelArchive {
  ModelManifest manifest;
  std::string tokenizer_json;
  std::string chat_format_json;
  int64_t file_bytes = 0;
};

// NOT_FOUND, INVALID_ARGUMENT or DATA_LOSS as LoadModelFile (torch_model.h).
absl::StatusOr<ModelArchive> ReadModelArchive(const std::string& path);

}  // namespace sinkstream
