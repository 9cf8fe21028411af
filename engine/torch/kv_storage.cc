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

using kernels::Element;

std::array<int64_t, 5> ShapeOf(const ModelManifest& manifest, Element element, int64_t blocks) {
  return KvShape(element, manifest.layers, blocks, manifest.kv_heads, manifest.head_dim);
}

at::ScalarType TypeOf(Element element) {
  if (element == Element::kInt8) return at::kChar;
  return element == Element::kFloat32 ? at::kFloat : at::kBFloat16;
}

}  // namespace

int64_t KvBlockBytes(const ModelManifest& manifest, Element element) {
  const auto shape = ShapeOf(manifest, element, 1);
  const auto element_bytes = static_cast<int64_t>(c10::elementSize(TypeOf(element)));
  return std::accumulate(shape.begin(), shape.end(), element_bytes, std::multiplies<>());
}

absl::StatusOr<KvStorage> KvStorage::Create(const ModelManifest& manifest, Element element,
                                            int32_t num_blocks) {
  const int64_t bytes = num_blocks * KvBlockBytes(manifest, element);
  auto mapping = HugeMapping::Create(static_cast<size_t>(bytes));
  if (mapping == nullptr) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the system refuses ", bytes, " bytes for KV"));
  }
  at::Tensor tensor =
      at::from_blob(mapping->data(), ShapeOf(manifest, element, num_blocks), TypeOf(element));
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
