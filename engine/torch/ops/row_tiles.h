// Rows cut into tiles whose height the compiler knows. For the kernels_*.cc files alone (simd.h
// says why).
#pragma once

#include "engine/torch/ops/simd.h"

namespace sinkstream::kernels {
namespace {

// Calls run.operator()<count>(). Requires: 1 <= count <= kMost.
template <int kMost, typename Run>
void WithCount(int64_t count, Run run) {
  if constexpr (kMost > 1) {
    if (count < kMost) return WithCount<kMost - 1>(count, run);
  }
  run.template operator()<kMost>();
}

// Calls tile.operator()<height>(panel, first row, i, tiles) for the tiles of each panel that cover
// `rows`, of kMost rows at most and of about the same height, panel by panel: a panel's weights
// stay in cache for all its tiles.
template <int kMost, typename Tile>
void ForTiles(Range panels, Range rows, Tile tile) {
  const int64_t count = rows.end - rows.begin;
  const int64_t tiles = (count + kMost - 1) / kMost;
  for (int64_t panel = panels.begin; panel < panels.end; ++panel) {
    for (int64_t i = 0; i < tiles; ++i) {
      const int64_t begin = rows.begin + count * i / tiles;
      const int64_t end = rows.begin + count * (i + 1) / tiles;
      WithCount<kMost>(end - begin, [&]<int kRows>() {
        tile.template operator()<kRows>(panel, begin, i, tiles);
      });
    }
  }
}

}  // namespace
}  // namespace sinkstream::kernels
