// Counts what is taken from the heap: linked in (sinkstream_counted_heap), it replaces operator new
// of the whole program. For programs of one thread.
#pragma once

#include <cstdint>

namespace sinkstream {

struct CountedHeap {
  bool counting = false;
  int64_t allocations = 0;  // while `counting`
};

extern CountedHeap counted_heap;

}  // namespace sinkstream
