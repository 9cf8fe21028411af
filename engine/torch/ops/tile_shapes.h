// For matrix_tiles.h alone, and for what a test puts in its place.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sinkstream::kernels {
namespace {

// As ldtilecfg reads them: of each tile its rows and how many bytes each has; 0 and 0: not used.
struct alignas(64) TileShapes {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};
static_assert(sizeof(TileShapes) == 64 && offsetof(TileShapes, row_bytes) == 16 &&
              offsetof(TileShapes, rows) == 48);

}  // namespace
}  // namespace sinkstream::kernels
