// The matrix unit of AMX: eight tiles, a thread's own, of at most 16 rows of 64 bytes. For
// kernels_quantized_amx.cc alone; a test puts a header in its place that does without the unit
// (tests/torch/emulated/).
#pragma once

#include <cstdint>

#include "engine/torch/ops/tile_shapes.h"

namespace sinkstream::kernels {
namespace {

// Each instruction is a barrier to the compiler: gcc 12's intrinsics do not say what memory they
// read.
inline void ShapeTiles(const TileShapes& shapes) {
  asm volatile("ldtilecfg %0" ::"m"(shapes) : "memory");
}

// Without shapes again, as other code of the thread expects them.
inline void ReleaseTiles() { asm volatile("tilerelease" ::: "memory"); }

// Rows `stride` bytes apart.
template <int kTile>
void LoadTile(const void* from, int64_t stride) {
  asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(from), "r"(stride), "i"(kTile) : "memory");
}

template <int kTile>
void StoreTile(void* to, int64_t stride) {
  asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(to), "r"(stride), "i"(kTile) : "memory");
}

// sum[m][n] = the sum over i of rows[m][i] * weights[i / 4][4 * n + i % 4]: signed bytes, int32.
template <int kSum, int kRows, int kWeights>
void MultiplyTiles() {
  asm volatile("tilezero %%tmm%c0\n\ttdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kSum), "i"(kRows),
               "i"(kWeights)
               : "memory");
}

}  // namespace
}  // namespace sinkstream::kernels
