// The end of every linear kernel. For the kernels_*.cc files alone (simd.h says why).
#pragma once

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "engine/torch/ops/simd.h"

namespace sinkstream::kernels {
namespace {

// Whether any lane is above `bound`, or is no number.
inline bool AnyNotAtMost(Vec values, float bound) {
#if defined(__AVX512F__)
  return _mm512_cmp_ps_mask(values, Splat(bound), _CMP_NLE_UQ) != 0;
#elif defined(__AVX2__)
  return _mm256_movemask_ps(_mm256_cmp_ps(values, Splat(bound), _CMP_NLE_UQ)) != 0;
#elif defined(__x86_64__)
  return _mm_movemask_ps(_mm_cmpnle_ps(values, Splat(bound))) != 0;
#else
  bool any = false;
  for (int lane = 0; lane < kLanes; ++lane) any = any || !(values[lane] <= bound);
  return any;
#endif
}

// Raises the row's peak by the first `count` lanes, which are the outputs from `output` on.
inline void Raise(RowPeak& peak, Vec values, int64_t count, int64_t output) {
  if (!AnyNotAtMost(values, peak.value)) return;  // few are above all before them
  for (int lane = 0; lane < count; ++lane) {
    if (values[lane] <= peak.value || peak.value != peak.value) continue;
    peak = {values[lane], static_cast<int32_t>(output + lane)};
  }
}

// Adds bias and residual to the sums of the outputs from `output` on and writes what is within
// `out`; with peaks, raises the row's.
[[gnu::always_inline]] inline void Finish(const LinearOutput& to, Vec sum, int64_t row,
                                          int64_t output, bool peaks) {
  const int64_t count = to.out - output < kLanes ? to.out - output : kLanes;
  if (count <= 0) return;
  if (to.bias != nullptr) sum += Load(to.bias + output);
  const int64_t at = row * to.out + output;
  if (to.residual != nullptr) {
    sum += LoadFirst(to.residual + at, count);
  }
  if (peaks) {
    Raise(to.peaks[row], sum, count, output);
    if (to.peak_alone[row] != 0) return;
  }
  StoreFirst(to.y + at, sum, count);
}

// Finishes a panel for some rows, whose sums, [rows][width], are in memory. Not inlined: tiles come
// here for the head alone, and inlined it would take registers from the products of all others.
[[gnu::noinline]] void FinishStored(const LinearOutput& to, const float* sums, int64_t width,
                                    Range rows, int64_t output) {
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    for (int64_t i = 0; i < width; i += kLanes, sums += kLanes) {
      Finish(to, Load(sums), row, output + i, to.peaks != nullptr);
    }
  }
}

// Finishes a tile, whose sums are in registers: through memory where peaks are asked for.
template <int kRows, int kVectors>
[[gnu::always_inline]] inline void FinishTile(const LinearOutput& to,
                                              const Vec (&sums)[kRows][kVectors], int64_t row,
                                              int64_t output) {
  if (to.peaks == nullptr) {
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        Finish(to, sums[r][v], row + r, output + v * kLanes, false);
      }
    }
    return;
  }
  float stored[kRows][kVectors * kLanes];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) Store(&stored[r][v * kLanes], sums[r][v]);
  }
  FinishStored(to, stored[0], kVectors * kLanes, {row, row + kRows}, output);
}

}  // namespace
}  // namespace sinkstream::kernels
