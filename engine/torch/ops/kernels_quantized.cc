#include "engine/torch/ops/kernels_isa.h"
#include "engine/torch/ops/linear_output.h"
#include "engine/torch/ops/quantized_formats.h"
#include "engine/torch/ops/row_tiles.h"

namespace sinkstream::kernels {
namespace {

#if defined(__AVX512F__)
constexpr int kRowTile = 6;
#else
constexpr int kRowTile = 4;
#endif
constexpr int kVectors = 2;
constexpr int kColumns = kVectors * kLanes;
constexpr int kPasses = kPanelOutputs / kColumns;  // of a tile over its panel's groups
static_assert(kPanelOutputs % kColumns == 0);

inline int32_t Quad(const int8_t* from) {
  int32_t quad;
  __builtin_memcpy(&quad, from, sizeof quad);
  return quad;
}

// Inlined, else sums pass through memory. What 32 inputs of `kRows` rows, whose codes are from `x`
// on, add to the exact sums.
template <typename Format, int kRows, typename Sum>
[[gnu::always_inline]] inline void SumCodes(const uint8_t* codes, const int8_t* x,
                                            Sum (&sums)[kRows][kVectors]) {
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    CodeVec first[kVectors], second[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      Format::Load(codes + v * kLanes * 4, i, first[v], second[v]);
    }
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const int8_t* row = x + r * Format::kGroup + i * 4;
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        sums[r][v].Add(first[v], Quad(row));
        sums[r][v].Add(second[v], Quad(row + kBlockInputs / 2));
      }
    }
  }
}

// The weights that come after those at work: the processor by itself stops at each page's end, and
// has nothing to ask for while further tiles of rows go over the same panel.
struct Ahead {
  void Ask() {
    for (int i = 0; i < lines_a_group; ++i, next += 64) {
      PrefetchToL2(reinterpret_cast<const void*>(next));
    }
  }
  uintptr_t next;  // a number, as no pointer may be beyond the end of what it points into
  int lines_a_group;
};

// Adds a group, whose weights are from `codes` on, `x` being the rows' codes.
template <typename Format, int kRows>
[[gnu::always_inline]] inline void AddGroup(const uint8_t* codes, const int8_t* x,
                                            const ActivationGroup* activations,
                                            const Scales<Format> (&scales)[kVectors],
                                            Vec (&sums)[kRows][kVectors]) {
  ExactSum<Format::kNibbles> exact[kRows][kVectors];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
    const IntVec start = IntVec{} - Format::kZero * activations[r].sum;
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) exact[r][v].sum = start;
  }
#pragma GCC unroll 2
  for (int half = 0; half < Format::kGroup; half += kBlockInputs) {
    SumCodes<Format, kRows>(codes + half / 4 * kWordBytes, x + half, exact);
  }
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v) {
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      sums[r][v] = scales[v].Add(sums[r][v], exact[r][v].Total(), activations[r]);
    }
  }
}

template <typename Format, int kRows>
void Tile(const QuantizedLinearCall& call, int64_t panel, int64_t row, Ahead ahead) {
  const uint8_t* weights = PanelOf<Format>(call, panel);
  const int64_t groups = call.in / Format::kGroup;
  for (int column = 0; column < kPanelOutputs; column += kColumns) {
    Vec sums[kRows][kVectors] = {};
    for (int64_t g = 0; g < groups; ++g) {
      const uint8_t* codes = weights + g * kGroupBytes<Format>;
      Scales<Format> scales[kVectors];
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        scales[v] = Scales<Format>(codes + Format::kCodeBytes, column + v * kLanes);
      }
      const int64_t at = g * call.rows + row;
      ahead.Ask();
      AddGroup<Format, kRows>(codes + column * 4, call.codes + at * Format::kGroup,
                              call.groups + at, scales, sums);
    }
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) {
        sums[r][v] = TimesRowScales<Format>(sums[r][v], call, weights, column + v * kLanes);
      }
    }
    FinishTile(call.output, sums, row, panel * kPanelOutputs + column);
  }
}

// Each pass over a panel asks for its share of the next panel; one alone, for what comes soon.
template <typename Format>
Ahead AheadOf(const QuantizedLinearCall& call, int64_t panel, int64_t tile, int64_t tiles) {
  constexpr int64_t kLine = 64, kLines = kGroupBytes<Format> / kLine;
  const int64_t passes = tiles * kPasses, lines = (kLines + passes - 1) / passes;
  const int64_t share = call.in / Format::kGroup * lines * kLine;
  const auto from = reinterpret_cast<uintptr_t>(PanelOf<Format>(call, panel));
  const int64_t distance = passes == 1 ? kSoon : PanelBytes<Format>(call) + tile * kPasses * share;
  return {from + static_cast<uintptr_t>(distance), static_cast<int>(lines)};
}

template <typename Format>
void Panels(const QuantizedLinearCall& call, Range panels, Range rows) {
  ForTiles<kRowTile>(
      panels, rows, [&]<int kRows>(int64_t panel, int64_t row, int64_t tile, int64_t tiles) {
        Tile<Format, kRows>(call, panel, row, AheadOf<Format>(call, panel, tile, tiles));
      });
}

void QuantizeGroup(const float* x, int64_t size, int8_t* codes, ActivationGroup& group) {
  IntVec sums = {};
  const float scale = RoundToCodes<127>(x, size, codes, sums);
  const int32_t sum = Sum(sums);
  group = {scale, scale * static_cast<float>(sum), sum};
}

}  // namespace

namespace SINKSTREAM_ISA {

void Quantize(const QuantizeCall& call, Range rows) {
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    const float* x = call.x + row * call.in;
    for (int64_t input = 0; input < call.in; input += call.group) {
      const int64_t at = input / call.group * call.rows + row;
      QuantizeGroup(x + input, call.group, call.codes + at * call.group, call.groups[at]);
    }
  }
}

#if defined(__AMX_INT8__)
// From so many rows on tiles are faster (docs/adr/0011-integer-products.md).
constexpr int64_t kLeastTileRows = 10;

int64_t QuantizedLinearScratch(const QuantizedLinearCall& call) { return TileScratch(call); }
#else
int64_t QuantizedLinearScratch(const QuantizedLinearCall&) { return 0; }
#endif

void QuantizedLinear(Element element, const QuantizedLinearCall& call, Range panels, Range rows,
                     [[maybe_unused]] void* scratch) {
#if defined(__AMX_INT8__)
  if (rows.end - rows.begin >= kLeastTileRows) {
    return LinearByTiles(element, call, panels, rows, scratch);
  }
#endif
  WithFormat(element, [&]<typename Format>(Format) { Panels<Format>(call, panels, rows); });
}

}  // namespace SINKSTREAM_ISA
}  // namespace sinkstream::kernels
