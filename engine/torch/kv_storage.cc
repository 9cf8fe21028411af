#include "engine/torch/kv_storage.h"

#include <ATen/ops/from_blob.h>

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/torch/ops/kernels.h"

namespace sinkstream {
namespace {

// Elements of one block and layer.
int64_t BlockElements(const ModelManifest& manifest) {
  const int64_t padded_dim = (int64_t{manifest.head_dim} + 15) / 16 * 16;
  return manifest.kv_heads * 2 * kernels::kBlockTokens * padded_dim;
}

}  // namespace

int64_t KvBlockBytes(const ModelManifest& manifest, bool bfloat16) {
  return manifest.layers * BlockElements(manifest) * (bfloat16 ? 2 : 4);
}

absl::StatusOr<KvStorage> KvStorage::Create(const ModelManifest& manifest, bool bfloat16,
                                            int32_t num_blocks) {
  const int64_t bytes = num_blocks * KvBlockBytes(manifest, bfloat16);
  auto mapping = HugeMapping::Create(static_cast<size_t>(bytes));
  if (mapping == nullptr) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the system refuses ", bytes, " bytes for KV"));
  }
  const int64_t per_head = BlockElements(manifest) / manifest.kv_heads / 2;
  at::Tensor tensor =
      at::from_blob(mapping->data(), {manifest.layers, num_blocks, manifest.kv_heads, 2, per_head},
                    bfloat16 ? at::kBFloat16 : at::kFloat);
  return KvStorage(std::move(mapping), std::move(tensor));
}

KvStorage::KvStorage(std::unique_ptr<HugeMapping> mapping, at::Tensor tensor)
    : mapping_(std::move(mapping)), tensor_(std::move(tensor)) {}

size_t KvStorage::PartBytes() const {
  return static_cast<size_t>(tensor_.stride(1)) * tensor_.element_size();
}

char* KvStorage::Part(int64_t layer, BlockId block) const {
  const auto index = static_cast<size_t>(layer * tensor_.size(1) + block);
  return static_cast<char*>(mapping_->data()) + index * PartBytes();
}

void KvStorage::CopyOut(BlockId block, char* to) const {
  for (int64_t layer = 0; layer < tensor_.size(0); ++layer, to += PartBytes()) {
    std::memcpy(to, Part(layer, block), PartBytes());
  }
}

void KvStorage::CopyIn(BlockId block, const char* from) {
  for (int64_t layer = 0; layer < tensor_.size(0); ++layer, from += PartBytes()) {
    std::memcpy(Part(layer, block), from, PartBytes());
  }
}

}  // namespace sinkstream
