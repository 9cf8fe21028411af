#include "engine/torch/model_archive.h"

#include <caffe2/serialize/inline_container.h>

#include <array>
#include <exception>
#include <filesystem>
#include <fstream>
#include <memory>

namespace sinkstream {
namespace {

using Reader = caffe2::serialize::PyTorchStreamReader;

absl::Status CheckIsZip(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return absl::NotFoundError("no such file");
  std::array<char, 4> start = {};
  std::ifstream file(path, std::ios::binary);
  if (!std::filesystem::is_regular_file(path, error) || !file) {
    return absl::InvalidArgumentError("is not a readable file");
  }
  file.read(start.data(), start.size());
  if (start != std::array<char, 4>{'P', 'K', 3, 4}) {
    return absl::InvalidArgumentError("is not a model file (not a TorchScript archive)");
  }
  return absl::OkStatus();
}

std::unique_ptr<Reader> Open(const std::string& path) {
  try {
    return std::make_unique<Reader>(path);
  } catch (const std::exception&) {
    return nullptr;
  }
}

absl::StatusOr<std::string> Extra(Reader& reader, const std::string& name) {
  try {
    if (!reader.hasRecord("extra/" + name)) {
      return absl::InvalidArgumentError("is not a model file (an archive without " + name +
                                        "; sinkstream's exporter makes model files)");
    }
    const auto [data, size] = reader.getRecord("extra/" + name);
    return std::string(static_cast<const char*>(data.get()), size);
  } catch (const std::exception&) {
    return absl::DataLossError("is damaged: " + name + " cannot be read");
  }
}

}  // namespace

absl::StatusOr<ModelArchive> ReadModelArchive(const std::string& path) {
  if (absl::Status status = CheckIsZip(path); !status.ok()) return status;
  const std::unique_ptr<Reader> reader = Open(path);
  if (reader == nullptr)
    return absl::DataLossError("is truncated or damaged (no directory at its end)");
  const auto manifest_json = Extra(*reader, "manifest.json");
  if (!manifest_json.ok()) return manifest_json.status();
  const auto manifest = ParseManifest(*manifest_json);
  if (!manifest.ok()) return manifest.status();
  const auto tokenizer = Extra(*reader, "tokenizer.json");
  if (!tokenizer.ok()) return tokenizer.status();
  const auto chat_format = Extra(*reader, "chat_format.json");
  if (!chat_format.ok()) return chat_format.status();
  std::error_code error;
  const auto bytes = static_cast<int64_t>(std::filesystem::file_size(path, error));
  return ModelArchive{*manifest, *tokenizer, *chat_format, bytes};
}

}  // namespace sinkstream
