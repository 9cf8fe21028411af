// Vectors of codes. For the kernels_*.cc files alone (simd.h says why).
#pragma once

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "engine/torch/ops/simd.h"

namespace sinkstream::kernels {
namespace {

typedef uint8_t CodeVec __attribute__((vector_size(kLanes * 4)));
typedef int16_t ShortVec __attribute__((vector_size(kLanes * 4)));
typedef uint8_t LooseCodeVec __attribute__((vector_size(kLanes * 4), aligned(1), may_alias));

inline CodeVec LoadCodes(const uint8_t* from) {
  return *reinterpret_cast<const LooseCodeVec*>(from);
}

// fp16, widened. Not of infinities.
inline Vec LoadHalf(const uint8_t* from) {
  const auto* halves = reinterpret_cast<const LooseHalfVec*>(from);
#if defined(__AVX512F__)
  return reinterpret_cast<Vec>(_mm512_cvtph_ps(reinterpret_cast<__m256i>(*halves)));
#elif defined(__F16C__)
  return reinterpret_cast<Vec>(_mm256_cvtph_ps(reinterpret_cast<__m128i>(*halves)));
#else
  const BitVec bits = __builtin_convertvector(*halves, BitVec);
  const Vec magnitude = reinterpret_cast<Vec>((bits & 0x7fff) << 13) * 0x1p112f;
  return reinterpret_cast<Vec>(reinterpret_cast<BitVec>(magnitude) | (bits & 0x8000) << 16);
#endif
}

// To the nearest integer, ties to even.
inline IntVec Round(Vec x) {
#if defined(__AVX512F__)
  return reinterpret_cast<IntVec>(_mm512_cvtps_epi32(x));
#elif defined(__AVX2__)
  return reinterpret_cast<IntVec>(_mm256_cvtps_epi32(x));
#elif defined(__SSE2__)
  return reinterpret_cast<IntVec>(_mm_cvtps_epi32(x));
#else
  IntVec rounded;
  for (int lane = 0; lane < kLanes; ++lane) {
    rounded[lane] = static_cast<int32_t>(__builtin_rintf(x[lane]));
  }
  return rounded;
#endif
}

// Has `value` at hand, rounded, before anything that follows.
template <typename V>
inline void Settle(V& value) {
#if defined(__x86_64__)
  __asm__("" : "+v"(value));
#elif defined(__aarch64__)
  __asm__("" : "+w"(value));
#else
  __asm__("" : "+m"(value));
#endif
}

// Sums of the exact products of inputs of one group. With VNNI all codes are unsigned; else nibbles
// are, and bytes are signed.
#if defined(__AVX512VNNI__)
constexpr int kSignOffset = 128;  // what turns signed codes into unsigned ones
template <bool kNibbles>
struct ExactSum {
  // Each lane's four codes times the four of `quad`.
  void Add(CodeVec codes, int32_t quad) {
    sum = reinterpret_cast<IntVec>(_mm512_dpbusd_epi32(
        reinterpret_cast<__m512i>(sum), reinterpret_cast<__m512i>(codes), _mm512_set1_epi32(quad)));
  }
  IntVec Total() const { return sum; }
  IntVec sum;
};
#else
constexpr int kSignOffset = 0;

// Sums of neighbours.
inline IntVec AddPairs(ShortVec x) {
#if defined(__AVX512BW__)
  return reinterpret_cast<IntVec>(
      _mm512_madd_epi16(reinterpret_cast<__m512i>(x), _mm512_set1_epi16(1)));
#elif defined(__AVX2__)
  return reinterpret_cast<IntVec>(
      _mm256_madd_epi16(reinterpret_cast<__m256i>(x), _mm256_set1_epi16(1)));
#elif defined(__SSE2__)
  return reinterpret_cast<IntVec>(_mm_madd_epi16(reinterpret_cast<__m128i>(x), _mm_set1_epi16(1)));
#else
  const IntVec both = reinterpret_cast<IntVec>(x);
  return (both << 16 >> 16) + (both >> 16);
#endif
}

// Sums of neighbouring products of unsigned and signed bytes, which must fit 16 bits.
inline ShortVec MultiplyPairs(CodeVec codes, CodeVec bytes) {
#if defined(__AVX512BW__)
  return reinterpret_cast<ShortVec>(
      _mm512_maddubs_epi16(reinterpret_cast<__m512i>(codes), reinterpret_cast<__m512i>(bytes)));
#elif defined(__AVX2__)
  return reinterpret_cast<ShortVec>(
      _mm256_maddubs_epi16(reinterpret_cast<__m256i>(codes), reinterpret_cast<__m256i>(bytes)));
#elif defined(__SSSE3__)
  return reinterpret_cast<ShortVec>(
      _mm_maddubs_epi16(reinterpret_cast<__m128i>(codes), reinterpret_cast<__m128i>(bytes)));
#else
  const ShortVec x = reinterpret_cast<ShortVec>(codes), y = reinterpret_cast<ShortVec>(bytes);
  return (x & 255) * (y << 8 >> 8) + (x >> 8 & 255) * (y >> 8);
#endif
}

inline CodeVec Splat(int32_t quad) { return reinterpret_cast<CodeVec>(IntVec{} + quad); }

// `bytes`, negated where a signed code is negative; modulo 256.
inline CodeVec TimesSigns(CodeVec bytes, CodeVec codes) {
  typedef int8_t SignedVec __attribute__((vector_size(kLanes * 4)));
  const CodeVec negative = reinterpret_cast<CodeVec>(reinterpret_cast<SignedVec>(codes) < 0);
  return (bytes ^ negative) - negative;
}

template <bool kNibbles>
struct ExactSum {
  void Add(CodeVec codes, int32_t quad) {
    // The magnitude of -128 is 128: two products come to 2 * 128 * 127, which fits.
    const CodeVec magnitudes = TimesSigns(codes, codes);
    sum += AddPairs(MultiplyPairs(magnitudes, TimesSigns(Splat(quad), codes)));
    Settle(sum);  // else GCC makes all products of a group first and keeps them in memory
  }
  IntVec Total() const { return sum; }
  IntVec sum;
};

// Of 32 inputs at most: 16 * 15 * 127 fits 16 bits too.
template <>
struct ExactSum<true> {
  void Add(CodeVec codes, int32_t quad) {
    pairs += MultiplyPairs(codes, Splat(quad));
    Settle(pairs);
  }
  IntVec Total() const { return sum + AddPairs(pairs); }
  IntVec sum;
  ShortVec pairs = {};
};
#endif

inline int32_t BitsOf(float value) {
  int32_t bits;
  __builtin_memcpy(&bits, &value, sizeof bits);
  return bits;
}

inline float FloatOf(int32_t bits) {
  float value;
  __builtin_memcpy(&value, &bits, sizeof value);
  return value;
}

// The largest magnitude as an integer, in whose order NaN is above infinity.
inline int32_t LargestMagnitude(const float* x, int64_t size) {
  IntVec largest = {};
#pragma GCC unroll 8
  for (int64_t i = 0; i < size; i += kLanes) {
    const IntVec magnitude = reinterpret_cast<IntVec>(Magnitude(Load(x + i)));
    largest = largest > magnitude ? largest : magnitude;
  }
  return Largest(largest);
}

// Codes of x in [-kMost, kMost], to the nearest, ties to even, x being about scale * code, and
// their sums by lanes. Returns the scale: max |x| / kMost; 0 where that maximum is below 1e-30; NaN
// unless all is finite. `codes` may begin where x does.
template <int kMost, typename Code>
[[gnu::always_inline]] inline float RoundToCodes(const float* x, int64_t size, Code* codes,
                                                 IntVec& sums) {
  typedef Code Codes __attribute__((vector_size(kLanes * sizeof(Code))));
  typedef Code LooseCodes
      __attribute__((vector_size(kLanes * sizeof(Code)), aligned(sizeof(Code)), may_alias));
  const int32_t largest = LargestMagnitude(x, size);
  const bool finite = largest < BitsOf(__builtin_inff());
  if (!finite || largest < BitsOf(1e-30f)) {
    __builtin_memset(codes, 0, static_cast<size_t>(size) * sizeof(Code));
    return finite ? 0.0f : __builtin_nanf("");
  }
  const float inverse = kMost / FloatOf(largest);
#pragma GCC unroll 8
  for (int64_t i = 0; i < size; i += kLanes) {
    const IntVec rounded = Round(Load(x + i) * inverse);
    *reinterpret_cast<LooseCodes*>(codes + i) = __builtin_convertvector(rounded, Codes);
    sums += rounded;
  }
  return FloatOf(largest) / kMost;
}

}  // namespace
}  // namespace sinkstream::kernels
