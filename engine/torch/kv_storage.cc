#include "engine/torch/kv_storage.h"

#include <ATen/ops/from_blob.h>

#include <cstring>
#include <functional>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/torch/ops/kv_shape.h"

namespace sinkstream {
namespace {

std::array<int64_t, 5> ShapeOf(const ModelManifest& manifest, int64_t blocks) {
  return KvShape(manifest.layers, blocks, manifest.kv_heads, manifest.head_dim);
}

}  // namespace

int64_t KvBlockBytes(const ModelManifest& manifest, bool bfloat16) {
  const auto shape = ShapeOf(manifest, 1);
  return std::accumulate(shape.begin(), shape.end(), int64_t{bfloat16 ? 2 : 4},
                         std::multiplies<>());
}

absl::StatusOr<KvStorage> KvStorage::Create(const ModelManifest& manifest, bool bfloat16,
                                            int32_t num_blocks) {
  const int64_t bytes = num_blocks * KvBlockBytes(manifest, bfloat16);
  auto mapping = HugeMapping::Create(static_cast<size_t>(bytes));
  if (mapping == nullptr) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the system refuses ", bytes, " bytes for KV"));
  }
  at::Tensor tensor = at::from_blob(mapping->data(), ShapeOf(manifest, num_blocks),
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
