#include "engine/torch/model_archive.h"

#include <caffe2/serialize/file_adapter.h>
#include <caffe2/serialize/inline_container.h>

#include <algorithm>
#include <array>
#include <exception>
#include <filesystem>
#include <memory>

#include "engine/torch/archive_digest.h"
#include "engine/torch/error_text.h"

namespace sinkstream {
namespace {

using caffe2::serialize::FileAdapter;
using Reader = caffe2::serialize::PyTorchStreamReader;

absl::StatusOr<std::shared_ptr<FileAdapter>> OpenFile(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return absl::NotFoundError("no such file");
  const absl::Status unreadable = absl::InvalidArgumentError("is not a readable file");
  if (!std::filesystem::is_regular_file(path, error)) return unreadable;
  try {
    return std::make_shared<FileAdapter>(path);
  } catch (const std::exception&) {
    return unreadable;
  }
}

absl::StatusOr<std::unique_ptr<Reader>> OpenArchive(const std::shared_ptr<FileAdapter>& file) {
  std::array<char, 4> start = {};
  try {
    if (file->size() >= start.size()) file->read(0, start.data(), start.size());
    if (start != std::array<char, 4>{'P', 'K', 3, 4}) {
      return absl::InvalidArgumentError("is not a model file (not a TorchScript archive)");
    }
    return std::make_unique<Reader>(file);
  } catch (const std::exception& error) {
    const std::string reason = Reason(error);
    if (reason.find("maximum supported version") != reason.npos) {
      return absl::InvalidArgumentError("was saved by a newer torch: " + reason);
    }
    return absl::DataLossError("is truncated or damaged (no directory at its end)");
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

absl::StatusOr<int64_t> LargestRecordBytes(Reader& reader, size_t file_bytes) {
  try {
    size_t largest = 0;
    for (const std::string& name : reader.getAllRecords()) {
      largest = std::max(largest, reader.getRecordSize(name));
    }
    // Records are stored as they are; what a damaged directory says may be longer than the file.
    return static_cast<int64_t>(std::min(largest, file_bytes));
  } catch (const std::exception&) {
    return absl::DataLossError("is damaged: its directory cannot be read");
  }
}

}  // namespace

absl::StatusOr<ModelArchive> ReadModelArchive(const std::string& path) {
  const auto file = OpenFile(path);
  if (!file.ok()) return file.status();
  const auto reader = OpenArchive(*file);
  if (!reader.ok()) return reader.status();
  const auto manifest_json = Extra(**reader, "manifest.json");
  if (!manifest_json.ok()) return manifest_json.status();
  const auto manifest = ParseManifest(*manifest_json);
  if (!manifest.ok()) return manifest.status();
  const auto tokenizer = Extra(**reader, "tokenizer.json");
  if (!tokenizer.ok()) return tokenizer.status();
  const auto chat_format = Extra(**reader, "chat_format.json");
  if (!chat_format.ok()) return chat_format.status();
  const size_t file_bytes = (*file)->size();
  const auto largest = LargestRecordBytes(**reader, file_bytes);
  if (!largest.ok()) return largest.status();
  return ModelArchive{*manifest, *tokenizer, *chat_format, static_cast<int64_t>(file_bytes),
                      *largest,  *file};
}

absl::Status CheckDigest(const ModelArchive& archive) {
  const auto digest = ArchiveDigest(archive.file);
  if (!digest.ok()) return digest.status();
  if (*digest == archive.manifest.digest) return absl::OkStatus();
  return absl::DataLossError("is damaged: its contents do not match the digest in its manifest");
}

}  // namespace sinkstream
