#include "engine/torch/model_file.h"

#include <ATen/Parallel.h>
#include <malloc.h>
#include <torch/script.h>

#include <algorithm>
#include <exception>
#include <limits>
#include <new>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/step/warm_up.h"
#include "engine/torch/error_text.h"
#include "engine/torch/kv_storage.h"
#include "engine/torch/machine_limits.h"
#include "engine/torch/model_archive.h"
#include "engine/torch/ops/isa.h"
#include "engine/torch/ops/linear_weight.h"
#include "engine/torch/ops/thread_pool.h"
#include "engine/torch/torch_model.h"

namespace sinkstream {
namespace {

kernels::Element KvElement(const ModelManifest& manifest, KvDtype wanted) {
  const auto is = [&](KvDtype dtype, const char* name) {
    return wanted == dtype || (wanted == KvDtype::kAuto && manifest.kv_dtype == name);
  };
  if (is(KvDtype::kFloat32, "float32")) return kernels::Element::kFloat32;
  return is(KvDtype::kInt8, "int8") ? kernels::Element::kInt8 : kernels::Element::kBfloat16;
}

absl::StatusOr<ModelSpec> MakeSpec(const ModelManifest& manifest, kernels::Element kv_element,
                                   const TorchModelOptions& options) {
  ModelSpec spec;
  spec.name = manifest.name;
  spec.architecture = manifest.architecture;
  spec.weight_dtype = manifest.dtype;
  spec.kv_dtype = DtypeName(kv_element);
  spec.isa = Kernels().name;
  spec.threads = OperatorPool().threads();
  spec.library_threads = at::get_num_threads();
  spec.vocab_size = manifest.vocab_size;
  spec.trained_context = manifest.trained_context;
  spec.block_tokens = kernels::kBlockTokens;
  spec.block_bytes = KvBlockBytes(manifest, kv_element);
  const int64_t blocks = options.kv_bytes / spec.block_bytes;
  if (blocks < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("a KV pool of ", options.kv_bytes,
                     " bytes holds no block; one of this model takes ", spec.block_bytes));
  }
  spec.num_blocks = static_cast<int32_t>(
      std::min<int64_t>(blocks, std::numeric_limits<int32_t>::max() / kernels::kBlockTokens));
  return spec;
}

// All weights are read, then packed one by one, each beside what it was read as; later the KV pool
// fills.
absl::Status CheckFits(const ModelArchive& archive, const ModelSpec& spec,
                       const TorchModelOptions& options) {
  const int64_t kv_bytes = spec.num_blocks * spec.block_bytes;
  const int64_t needed = archive.file_bytes + std::max(archive.largest_record_bytes, kv_bytes);
  const int64_t available = options.memory_bytes > 0 ? options.memory_bytes : AvailableMemory();
  if (needed <= available) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat("needs ", needed >> 20, " MiB (model ", archive.file_bytes >> 20, ", KV pool ",
                   kv_bytes >> 20, "), ", available >> 20, " MiB are available"));
}

absl::Status SetProcessOptions(const TorchModelOptions& options) {
  if (!SelectIsa(options.isa)) {
    return absl::InvalidArgumentError(
        absl::StrCat("this CPU does not run \"", options.isa, "\" kernels"));
  }
  if (options.threads < 0 || options.threads > kMaxThreads) {
    return absl::InvalidArgumentError(
        absl::StrCat("threads is ", options.threads, ", not 0 to ", kMaxThreads));
  }
  const int threads = options.threads > 0 ? options.threads : AvailableProcessors();
  if (absl::Status status = SetOperatorThreads(threads); !status.ok()) return status;
  // What is left to libtorch itself is small; its own threads would only spin.
  at::set_num_threads(1);
  // The plain executor: the other one compiles anew when shapes change, and every step has its own
  // shape.
  torch::jit::getProfilingMode() = false;
  return absl::OkStatus();
}

// A model of 4 bits may hold weights of 8: embedding and head, and what its source has rounded in a
// way that a file cannot hold.
bool Allows(const std::string& dtype, const std::string& held) {
  return held == dtype || (dtype == "int4" && held == "int8");
}

// Asking a weight for its matrix packs it. INVALID_ARGUMENT if one is not of the manifest's type.
absl::Status PackWeights(const torch::jit::Module& module, const std::string& dtype) {
  const auto type = c10::getCustomClassType<c10::intrusive_ptr<LinearWeight>>();
  for (const torch::jit::Module& part : module.modules()) {
    for (const c10::IValue& attribute : part.attributes(/*recurse=*/false)) {
      if (*attribute.type() != *type) continue;
      const auto weight = attribute.toCustomClass<LinearWeight>();
      const std::string held = DtypeName(weight->matrix().element());
      // glibc keeps what is freed below its mmap threshold, up to 32 MiB: whole layers, then there
      // twice.
      malloc_trim(0);
      if (Allows(dtype, held)) continue;
      return absl::InvalidArgumentError(
          absl::StrCat("manifest.json: dtype is ", dtype, ", the module has a weight of ", held));
    }
  }
  return absl::OkStatus();
}

// Of a file whose contents are those the exporter wrote: what fails is not damage. Its weights are
// packed.
absl::StatusOr<torch::jit::Module> LoadModule(const ModelArchive& archive) {
  try {
    const c10::InferenceMode inference;
    torch::jit::Module module =
        torch::jit::load(archive.file, at::kCPU, /*load_debug_files=*/false);
    module.eval();
    if (!module.find_method("forward").has_value()) {
      return absl::InvalidArgumentError("is not a model file (its module has no forward)");
    }
    if (absl::Status status = PackWeights(module, archive.manifest.dtype); !status.ok()) {
      return status;
    }
    return module;
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError("the system refuses the memory for the weights");
  } catch (const std::exception& error) {
    return absl::InvalidArgumentError(absl::StrCat("is not for this server: ", Reason(error)));
  }
}

absl::Status CheckRuns(TorchModel& model, int64_t layers) {
  if (absl::Status status = WarmUp(model); !status.ok()) {
    if (absl::IsResourceExhausted(status)) return status;
    return absl::InvalidArgumentError(
        absl::StrCat("does not run: ", std::string(status.message())));
  }
  if (model.LayersUsed() == layers) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("manifest.json: layers is ", layers, ", the module has ", model.LayersUsed()));
}

absl::StatusOr<ModelFile> Load(const std::string& path, const TorchModelOptions& options) {
  absl::StatusOr<ModelArchive> archive = ReadModelArchive(path);
  if (!archive.ok()) return archive.status();
  if (absl::Status status = SetProcessOptions(options); !status.ok()) return status;
  const kernels::Element kv_element = KvElement(archive->manifest, options.kv_dtype);
  const absl::StatusOr<ModelSpec> spec = MakeSpec(archive->manifest, kv_element, options);
  if (!spec.ok()) return spec.status();
  if (absl::Status status = CheckFits(*archive, *spec, options); !status.ok()) return status;
  if (absl::Status status = CheckDigest(*archive); !status.ok()) return status;
  absl::StatusOr<KvStorage> kv = KvStorage::Create(archive->manifest, kv_element, spec->num_blocks);
  if (!kv.ok()) return kv.status();
  absl::StatusOr<torch::jit::Module> module = LoadModule(*archive);
  if (!module.ok()) return module.status();
  auto model = std::make_unique<TorchModel>(*spec, *std::move(kv), archive->manifest.head_dim,
                                            *std::move(module));
  if (absl::Status status = CheckRuns(*model, archive->manifest.layers); !status.ok())
    return status;
  return ModelFile{std::move(model), std::move(archive->tokenizer_json),
                   std::move(archive->chat_format_json)};
}

}  // namespace

absl::StatusOr<ModelFile> LoadModelFile(const std::string& path, const TorchModelOptions& options) {
  absl::StatusOr<ModelFile> file = Load(path, options);
  if (file.ok()) return file;
  constexpr size_t kLongest = 300;  // a file's strings may be of any length
  return absl::Status(
      file.status().code(),
      OneLine(absl::StrCat(path, ": ", absl::ClippedSubstr(file.status().message(), 0, kLongest))));
}

}  // namespace sinkstream
