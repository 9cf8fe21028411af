// The functions of the engine's matrix_tiles.h in software: same results, and where the unit would
// fault (shapes that do not fit each other, tiles without a shape) the process ends with a line.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "engine/torch/ops/tile_shapes.h"

namespace sinkstream::kernels {
namespace {

constexpr int kTiles = 8;
constexpr int kTileRowBytes = 64;

struct MatrixUnit {
  bool shaped = false;
  TileShapes shapes;
  alignas(64) int8_t tiles[kTiles][16][kTileRowBytes];
};
thread_local MatrixUnit unit;

inline void Require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "emulated tiles: %s\n", what);
  std::abort();
}

inline void ShapeTiles(const TileShapes& shapes) {
  Require(shapes.palette == 1 && shapes.start_row == 0, "the palette is not 1, or it begins later");
  for (int i = 0; i < 16; ++i) {
    const int rows = shapes.rows[i], bytes = shapes.row_bytes[i];
    Require((rows == 0) == (bytes == 0), "a tile has rows without bytes, or bytes without rows");
    Require(rows <= 16 && bytes <= kTileRowBytes, "a tile is larger than 16 rows of 64 bytes");
    Require(i < kTiles || rows == 0, "there are eight tiles");
  }
  unit.shaped = true;
  unit.shapes = shapes;
  std::memset(unit.tiles, 0, sizeof unit.tiles);
}

inline void ReleaseTiles() { unit.shaped = false; }

inline int RowsOf(int tile) {
  Require(unit.shaped && unit.shapes.rows[tile] > 0, "a tile is used that has no shape");
  return unit.shapes.rows[tile];
}

template <int kTile>
void LoadTile(const void* from, int64_t stride) {
  const int rows = RowsOf(kTile);
  std::memset(unit.tiles[kTile], 0, sizeof unit.tiles[kTile]);
  for (int row = 0; row < rows; ++row) {
    std::memcpy(unit.tiles[kTile][row], static_cast<const char*>(from) + row * stride,
                unit.shapes.row_bytes[kTile]);
  }
}

template <int kTile>
void StoreTile(void* to, int64_t stride) {
  const int rows = RowsOf(kTile);
  for (int row = 0; row < rows; ++row) {
    std::memcpy(static_cast<char*>(to) + row * stride, unit.tiles[kTile][row],
                unit.shapes.row_bytes[kTile]);
  }
}

// Not sanitised, as it touches tiles alone and would take the tests' time: loads and stores are.
template <int kSum, int kRows, int kWeights>
[[gnu::no_sanitize("address", "undefined")]] void MultiplyTiles() {
  const int rows = RowsOf(kSum), words = RowsOf(kWeights);
  const int sums = unit.shapes.row_bytes[kSum] / 4;
  Require(RowsOf(kRows) == rows && unit.shapes.row_bytes[kRows] == 4 * words &&
              unit.shapes.row_bytes[kWeights] == unit.shapes.row_bytes[kSum],
          "the shapes of a product do not fit each other");
  auto& tiles = unit.tiles;
  for (int m = 0; m < rows; ++m) {
    int32_t of_row[kTileRowBytes / 4] = {};
    for (int i = 0; i < 4 * words; ++i) {
      for (int n = 0; n < sums; ++n) {
        of_row[n] += tiles[kRows][m][i] * tiles[kWeights][i / 4][4 * n + i % 4];
      }
    }
    std::memcpy(tiles[kSum][m], of_row, sizeof of_row);
  }
}

}  // namespace
}  // namespace sinkstream::kernels
