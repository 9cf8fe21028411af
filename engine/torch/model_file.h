// LoadModelFile: a model file (docs/model_artifact.md) becomes a Model that libtorch runs. No torch
// type passes through here, and no exception: this folder is the only one that knows libtorch.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "engine/model.h"

namespace sinkstream {

// kAuto: as the manifest says. kInt8: a scale for each token and head.
enum class KvDtype { kAuto, kFloat32, kBfloat16, kInt8 };

struct TorchModelOptions {
  int64_t kv_bytes = int64_t{1} << 30;  // of the KV pool; rounded down to whole blocks
  KvDtype kv_dtype = KvDtype::kAuto;
  int threads = 0;           // the engine thread among them; 0: AvailableProcessors()
  std::string isa = "auto";  // or a name that SupportedIsas() may give (ops/isa.h)
  int64_t memory_bytes = 0;  // what loading may take in all; 0: what the machine has to spare
};

struct ModelFile {
  std::unique_ptr<Model> model;
  std::string tokenizer_json;
  std::string chat_format_json;
};

// Loads, packs the weights for this CPU and warms up. Threads, instruction set and libtorch's
// settings are the process's: one model a process. Each refusal is one line of valid UTF-8
// that begins with `path`, whatever the file's strings hold: NOT_FOUND: no such file.
// INVALID_ARGUMENT: not a model file, made by a newer exporter, unsupported, or options that
// contradict it. DATA_LOSS: truncated, damaged, or not what its digest names. RESOURCE_EXHAUSTED:
// does not fit this machine, or it refuses the threads.
absl::StatusOr<ModelFile> LoadModelFile(const std::string& path, const TorchModelOptions& options);

}  // namespace sinkstream
