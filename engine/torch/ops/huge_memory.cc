#include "engine/torch/ops/huge_memory.h"

#include <sys/mman.h>

#include <cstdint>
#include <mutex>
#include <new>

namespace sinkstream {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kSharedBytes = size_t{32} << 20;
constexpr size_t kAlignment = 64;

size_t RoundUp(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

std::shared_ptr<HugeMapping> Map(size_t bytes) {
  std::shared_ptr<HugeMapping> mapping = HugeMapping::Create(bytes);
  if (mapping == nullptr) throw std::bad_alloc();
  return mapping;
}

}  // namespace

std::unique_ptr<HugeMapping> HugeMapping::Create(size_t bytes) {
  const size_t mapped_bytes = RoundUp(bytes, kHugePage) + kHugePage;
  void* mapped = mmap(nullptr, mapped_bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  void* data = reinterpret_cast<void*>(RoundUp(reinterpret_cast<uintptr_t>(mapped), kHugePage));
  madvise(data, RoundUp(bytes, kHugePage), MADV_HUGEPAGE);
  return std::unique_ptr<HugeMapping>(new HugeMapping(mapped, mapped_bytes, data, bytes));
}

HugeMapping::HugeMapping(void* mapped, size_t mapped_bytes, void* data, size_t bytes)
    : mapped_(mapped), mapped_bytes_(mapped_bytes), data_(data), bytes_(bytes) {}

HugeMapping::~HugeMapping() { munmap(mapped_, mapped_bytes_); }

HugeBuffer AllocateHuge(size_t bytes) {
  static std::mutex mutex;
  static std::weak_ptr<HugeMapping> shared;
  static size_t used = 0;

  bytes = RoundUp(bytes, kAlignment);
  if (bytes >= kSharedBytes / 2) {
    const auto mapping = Map(bytes);
    return {mapping, mapping->data()};
  }
  const std::lock_guard<std::mutex> lock(mutex);
  auto mapping = shared.lock();
  if (mapping == nullptr || used + bytes > mapping->bytes()) {
    mapping = Map(kSharedBytes);
    shared = mapping;
    used = 0;
  }
  void* data = static_cast<char*>(mapping->data()) + used;
  used += bytes;
  return {mapping, data};
}

}  // namespace sinkstream
