// Vectors as wide as the instruction set of the translation unit. For the kernels_*.cc files alone:
// they are compiled several times with different flags, so everything here has internal linkage and
// no library header with inline functions is included (the linker could keep an AVX-512 copy for
// everybody), but for intrinsics, which are always inlined.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/torch/ops/kernels.h"

namespace sinkstream::kernels {
namespace {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX2__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif

typedef float Vec __attribute__((vector_size(kLanes * 4)));
typedef int32_t IntVec __attribute__((vector_size(kLanes * 4)));
typedef uint32_t BitVec __attribute__((vector_size(kLanes * 4)));
typedef float LooseVec __attribute__((vector_size(kLanes * 4), aligned(4), may_alias));
typedef uint16_t LooseHalfVec __attribute__((vector_size(kLanes * 2), aligned(2), may_alias));

// Storage types of weights, Float32 of KV too; both compute in float32.
struct Float32 {
  using Type = float;
  static Vec Load(const float* from) { return *reinterpret_cast<const LooseVec*>(from); }
};

struct Bfloat16 {
  using Type = uint16_t;
  static Vec Load(const uint16_t* from) {
    const LooseHalfVec halves = *reinterpret_cast<const LooseHalfVec*>(from);
    return reinterpret_cast<Vec>(Widen(halves) << 16);
  }
  static BitVec Widen(LooseHalfVec halves) {
#if defined(__AVX512F__)
    // gcc 12 makes five instructions of the conversion that is one.
    typedef int16_t Halves __attribute__((vector_size(kLanes * 2)));
    return reinterpret_cast<BitVec>(
        __builtin_ia32_pmovzxwd512_mask(reinterpret_cast<Halves>(halves), IntVec{}, 0xffff));
#else
    return __builtin_convertvector(halves, BitVec);
#endif
  }
};

inline Vec Load(const float* from) { return Float32::Load(from); }
inline void Store(float* to, Vec value) { *reinterpret_cast<LooseVec*>(to) = value; }
inline Vec Splat(float value) { return Vec{} + value; }

// The first `count` lanes, of kLanes at most; the rest are zeros.
inline Vec LoadFirst(const float* from, int64_t count) {
  if (count == kLanes) return Load(from);
  Vec value = {};
  __builtin_memcpy(&value, from, static_cast<size_t>(count) * sizeof(float));
  return value;
}
inline void StoreFirst(float* to, Vec value, int64_t count) {
  if (count == kLanes) return Store(to, value);  // one instruction, where a copy is a call
  __builtin_memcpy(to, &value, static_cast<size_t>(count) * sizeof(float));
}

// Not to the first level, which has fewer requests under way than it takes to use all that memory
// can bring (ADR 0011, 0016).
inline void PrefetchToL2(const void* at) { __builtin_prefetch(at, 0, 2); }

#if defined(__AVX512F__)
constexpr IntVec kLaneNumbers = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
#elif defined(__AVX2__)
constexpr IntVec kLaneNumbers = {0, 1, 2, 3, 4, 5, 6, 7};
#else
constexpr IntVec kLaneNumbers = {0, 1, 2, 3};
#endif

// Combines all lanes, halves with each other first: in so few steps, as each waits for the one
// before it.
template <int kDistance = kLanes / 2, typename V, typename Combine>
auto OverLanes(V x, Combine combine) {
  if constexpr (kDistance == 0) {
    return x[0];
  } else {
    const V other = __builtin_shuffle(x, kLaneNumbers ^ kDistance);
    return OverLanes<kDistance / 2>(combine(x, other), combine);
  }
}
template <typename V>
auto Sum(V x) {
  return OverLanes(x, [](V a, V b) { return a + b; });
}
// Not of NaN.
template <typename V>
auto Largest(V x) {
  return OverLanes(x, [](V a, V b) { return a > b ? a : b; });
}

// e^x, relative error below 2e-7; 0 below -87 (and for -infinity), saturates above 88; NaN for NaN.
// Source of the polynomial: Cephes.
inline Vec Exp(Vec x) {
  const Vec clamped = x < 88.0f ? x : Splat(88.0f);
  const Vec magic =
      Splat(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer in the low bits
  const Vec shifted = clamped * 1.44269504088896341f + magic;
  const Vec whole = shifted - magic;
  Vec rest = clamped - whole * 0.693359375f;
  rest = rest - whole * -2.12194440e-4f;
  Vec series = Splat(1.9875691500e-4f);
  series = series * rest + 1.3981999507e-3f;
  series = series * rest + 8.3334519073e-3f;
  series = series * rest + 4.1665795894e-2f;
  series = series * rest + 1.6666665459e-1f;
  series = series * rest + 5.0000001201e-1f;
  series = series * (rest * rest) + rest + 1.0f;
  const BitVec exponent = reinterpret_cast<BitVec>(shifted) << 23;  // wraps where it is not used
  const Vec scaled = reinterpret_cast<Vec>(reinterpret_cast<BitVec>(series) + exponent);
  const Vec number = x < -87.0f ? Vec{} : scaled;
  return x != x ? x : number;  // the arithmetic above would make a finite number of a NaN
}

inline Vec Magnitude(Vec x) {
  return reinterpret_cast<Vec>(reinterpret_cast<IntVec>(x) & 0x7fffffff);
}

}  // namespace
}  // namespace sinkstream::kernels
