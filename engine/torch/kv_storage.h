// KvStorage: the memory of all KV blocks, one zeroed mapping on huge pages. Pages become resident
// as blocks are first used.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "engine/model.h"
#include "engine/torch/manifest.h"
#include "engine/torch/ops/huge_memory.h"
#include "engine/torch/ops/kernels.h"

namespace sinkstream {

// Bytes of one block: `block_tokens` tokens, all layers, keys and values; head_dim rounded up to a
// multiple of 16. `element` is one that KV may have (kernels.h).
int64_t KvBlockBytes(const ModelManifest& manifest, kernels::Element element);

class KvStorage {
 public:
  // RESOURCE_EXHAUSTED if the system refuses the address space.
  static absl::StatusOr<KvStorage> Create(const ModelManifest& manifest, kernels::Element element,
                                          int32_t num_blocks);

  // Of KvShape (ops/kv_shape.h), valid as long as this object.
  const at::Tensor& tensor() const { return tensor_; }

  // Model::CopyOut and CopyIn: a block's part of each layer, one after the other.
  void CopyOut(BlockId block, char* to) const;
  void CopyIn(BlockId block, const char* from);

 private:
  KvStorage(std::unique_ptr<HugeMapping> mapping, at::Tensor tensor);
  size_t PartBytes() const;  // of a block, one layer
  char* Part(int64_t layer, BlockId block) const;

  std::unique_ptr<HugeMapping> mapping_;
  at::Tensor tensor_;
};

}  // namespace sinkstream
