#include "engine/torch/ops/kernels_isa.h"
#include "engine/torch/ops/linear_output.h"
#include "engine/torch/ops/matrix_tiles.h"
#include "engine/torch/ops/quantized_formats.h"
#include "engine/torch/ops/row_tiles.h"

namespace sinkstream::kernels {
namespace {

static_assert(kLanes == 16);

constexpr int kTileRows = 16;
constexpr int kBlockRows = 2 * kTileRows;  // rows that one load of weights serves
template <typename Format>
constexpr int kUnpackedBytes = Format::kGroup * kPanelOutputs;
constexpr int kPanelVectors = kPanelOutputs / kLanes;

// Tiles: sums of the first 16 rows (two tiles of 16 outputs), of the others (two), activations of
// either, weights of either 16 outputs.
enum TileName { kSum00, kSum01, kSum10, kSum11, kRows0, kRows1, kWeights0, kWeights1 };

// For a block of `rows` and groups of `inputs`.
TileShapes ShapesOf(int64_t rows, int inputs) {
  TileShapes shapes;
  const auto set = [&](int tile, int64_t tile_rows, int row_bytes) {
    shapes.rows[tile] = static_cast<uint8_t>(tile_rows);
    shapes.row_bytes[tile] = static_cast<uint16_t>(tile_rows > 0 ? row_bytes : 0);
  };
  const int64_t first = rows < kTileRows ? rows : kTileRows, second = rows - first;
  set(kSum00, first, kLanes * 4);
  set(kSum01, first, kLanes * 4);
  set(kSum10, second, kLanes * 4);
  set(kSum11, second, kLanes * 4);
  set(kRows0, first, inputs);
  set(kRows1, second, inputs);
  set(kWeights0, inputs / 4, kLanes * 4);
  set(kWeights1, inputs / 4, kLanes * 4);
  return shapes;
}

constexpr int kSpan = 2;  // groups whose sums are added together, while tiles work on the next ones

using ExactSums = int32_t[kBlockRows][kPanelOutputs];

// Before the unpacked weights, int8_t [in][32].
struct alignas(64) Scratch {
  ExactSums exact[2][kSpan];
  float sums[kBlockRows][kPanelOutputs];
};

int8_t* UnpackedWeights(Scratch& scratch) { return reinterpret_cast<int8_t*>(&scratch + 1); }

// Some rows of a call, at most kBlockRows, by one panel.
struct Block {
  const QuantizedLinearCall& call;
  int64_t groups;
  const uint8_t* panel;
  int64_t row;
  int64_t rows;
  bool first;  // of the panel: unpacks its weights
};

// Four bits become signed bytes; of eight bits nothing is copied.
template <typename Format>
const void* SignedWeights(const Block& block, int64_t group, int64_t row, int8_t* unpacked) {
  const uint8_t* codes = block.panel + group * kGroupBytes<Format>;
  if constexpr (Format::kCodeBytes == kUnpackedBytes<Format>) {
    return codes;
  } else {
    int8_t* to = unpacked + group * kUnpackedBytes<Format>;
    if (!block.first || row > 0) return to;
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
#pragma GCC unroll 2
      for (int v = 0; v < kPanelVectors; ++v) {
        CodeVec low, high;
        Format::Load(codes + v * kLanes * 4, i, low, high);
        auto* at = reinterpret_cast<LooseCodeVec*>(to + i * kWordBytes + v * kLanes * 4);
        *at = low - static_cast<uint8_t>(Format::kZero);
        at[4 * kPanelVectors] = high - static_cast<uint8_t>(Format::kZero);
      }
    }
    return to;
  }
}

// The exact sums of 16 rows, from `row` of the block on.
template <typename Format>
void Multiply(const Block& block, int64_t group, int64_t row, int8_t* unpacked, ExactSums& sums) {
  if (block.first && row == 0) PrefetchAfter<Format>(block.panel + group * kGroupBytes<Format>);
  const void* weights = SignedWeights<Format>(block, group, row, unpacked);
  const int64_t at = group * block.call.rows + block.row + row;
  LoadTile<kWeights0>(weights, kWordBytes);
  LoadTile<kWeights1>(static_cast<const char*>(weights) + kLanes * 4, kWordBytes);
  if (row == 0) {
    LoadTile<kRows0>(block.call.codes + at * Format::kGroup, Format::kGroup);
    MultiplyTiles<kSum00, kRows0, kWeights0>();
    MultiplyTiles<kSum01, kRows0, kWeights1>();
    StoreTile<kSum00>(&sums[0][0], sizeof sums[0]);
    StoreTile<kSum01>(&sums[0][kLanes], sizeof sums[0]);
  } else {
    LoadTile<kRows1>(block.call.codes + at * Format::kGroup, Format::kGroup);
    MultiplyTiles<kSum10, kRows1, kWeights0>();
    MultiplyTiles<kSum11, kRows1, kWeights1>();
    StoreTile<kSum10>(&sums[kTileRows][0], sizeof sums[0]);
    StoreTile<kSum11>(&sums[kTileRows][kLanes], sizeof sums[0]);
  }
}

template <typename Format>
void MultiplySpan(const Block& block, int64_t first, int64_t row, Scratch& scratch) {
  for (int64_t g = first; g < first + kSpan && g < block.groups; ++g) {
    Multiply<Format>(block, g, row, UnpackedWeights(scratch),
                     scratch.exact[first / kSpan % 2][g - first]);
  }
}

// Adds what `kCount` groups come to.
template <typename Format, int kCount>
void AddGroups(const Block& block, int64_t first, Range rows, const ExactSums* exact,
               Scratch& scratch) {
  const ActivationGroup* activations = block.call.groups + first * block.call.rows + block.row;
#pragma GCC unroll 2
  for (int v = 0; v < kPanelVectors; ++v) {
    Scales<Format> of_outputs[kCount];
#pragma GCC unroll 4
    for (int g = 0; g < kCount; ++g) {
      const uint8_t* codes = block.panel + (first + g) * kGroupBytes<Format>;
      of_outputs[g] = Scales<Format>(codes + Format::kCodeBytes, v * kLanes);
    }
    for (int64_t r = rows.begin; r < rows.end; ++r) {
      Vec sums = Load(&scratch.sums[r][v * kLanes]);
#pragma GCC unroll 4
      for (int g = 0; g < kCount; ++g) {
        const auto* products = reinterpret_cast<const IntVec*>(&exact[g][r][v * kLanes]);
        sums = of_outputs[g].Add(sums, *products, activations[g * block.call.rows + r]);
      }
      Store(&scratch.sums[r][v * kLanes], sums);
    }
  }
}

template <typename Format>
void AddSpan(const Block& block, int64_t first, Range rows, Scratch& scratch) {
  const int64_t left = block.groups - first;
  WithCount<kSpan>(left < kSpan ? left : kSpan, [&]<int kCount>() {
    AddGroups<Format, kCount>(block, first, rows, scratch.exact[first / kSpan % 2], scratch);
  });
}

template <typename Format>
void RunBlock(const Block& block, int64_t panel, Scratch& scratch) {
  __builtin_memset(scratch.sums, 0, sizeof scratch.sums);
  for (int64_t group = -kSpan; group < block.groups; group += kSpan) {
    for (int64_t row = 0; row < block.rows; row += kTileRows) {
      // The matrix unit works on the next groups while these are scaled and added.
      MultiplySpan<Format>(block, group + kSpan, row, scratch);
      if (group < 0) continue;
      const int64_t end = row + kTileRows < block.rows ? row + kTileRows : block.rows;
      AddSpan<Format>(block, group, {row, end}, scratch);
    }
  }
  for (int64_t row = 0; row < block.rows; ++row) {
#pragma GCC unroll 2
    for (int output = 0; output < kPanelOutputs; output += kLanes) {
      float* sums = &scratch.sums[row][output];
      Store(sums, TimesRowScales<Format>(Load(sums), block.call, block.panel, output));
    }
  }
  FinishStored(block.call.output, scratch.sums[0], kPanelOutputs,
               {block.row, block.row + block.rows}, panel * kPanelOutputs);
}

template <typename Format>
void Panels(const QuantizedLinearCall& call, Range panels, Range rows, Scratch& scratch) {
  const int64_t groups = call.in / Format::kGroup;
  int64_t shaped = 0;
  for (int64_t panel = panels.begin; panel < panels.end; ++panel) {
    for (int64_t row = rows.begin; row < rows.end; row += kBlockRows) {
      const int64_t count = rows.end - row < kBlockRows ? rows.end - row : kBlockRows;
      if (count != shaped) ShapeTiles(ShapesOf(shaped = count, Format::kGroup));
      RunBlock<Format>({call, groups, PanelOf<Format>(call, panel), row, count, row == rows.begin},
                       panel, scratch);
    }
  }
  ReleaseTiles();
}

}  // namespace

namespace SINKSTREAM_ISA {

int64_t TileScratch(const QuantizedLinearCall& call) {
  return static_cast<int64_t>(sizeof(Scratch)) + call.in * kPanelOutputs;
}

void LinearByTiles(Element element, const QuantizedLinearCall& call, Range panels, Range rows,
                   void* scratch) {
  WithFormat(element, [&]<typename Format>(Format) {
    Panels<Format>(call, panels, rows, *static_cast<Scratch*>(scratch));
  });
}

}  // namespace SINKSTREAM_ISA
}  // namespace sinkstream::kernels
