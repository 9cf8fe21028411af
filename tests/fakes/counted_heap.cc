#include "tests/fakes/counted_heap.h"

#include <cstdlib>
#include <new>

namespace sinkstream {

CountedHeap counted_heap;

namespace {

void* Allocate(std::size_t size) {
  if (counted_heap.counting) ++counted_heap.allocations;
  if (void* const memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc();
}

}  // namespace
}  // namespace sinkstream

void* operator new(std::size_t size) { return sinkstream::Allocate(size); }
void* operator new[](std::size_t size) { return sinkstream::Allocate(size); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
