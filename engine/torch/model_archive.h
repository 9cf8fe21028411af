// ModelArchive: a model file, opened once, and its extra files, read without its weights. Refuses
// what is not one of ours. No exception passes through here.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "engine/torch/manifest.h"

namespace caffe2::serialize {
class ReadAdapterInterface;
}

namespace sinkstream {

struct ModelArchive {
  ModelManifest manifest;
  std::string tokenizer_json;
  std::string chat_format_json;
  int64_t file_bytes = 0;
  int64_t largest_record_bytes = 0;  // a weight is one record
  // What all else is to be read from: the path may come to name another file.
  std::shared_ptr<caffe2::serialize::ReadAdapterInterface> file;
};

// NOT_FOUND, INVALID_ARGUMENT or DATA_LOSS as LoadModelFile (model_file.h).
absl::StatusOr<ModelArchive> ReadModelArchive(const std::string& path);

// DATA_LOSS unless weights, tokenizer and chat format are those that the manifest's digest names.
// Reads all of the file.
absl::Status CheckDigest(const ModelArchive& archive);

}  // namespace sinkstream
