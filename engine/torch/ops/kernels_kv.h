// What writing keys and values and attending to them share: how they are stored, and rotation. For
// the kernels_*.cc files alone (simd.h says why).
#pragma once

#include "engine/torch/ops/simd_quantized.h"

namespace sinkstream::kernels {
namespace {

// How keys and values are stored. One Load takes kPack numbers of each lane, which lie side by
// side: a key's neighbouring dimensions, or a value's numbers of neighbouring slots. MulAdd
// multiplies them with as many factors, of queries or of softmax weights, from the `at`th on, a
// multiple of kPack, and adds the products up in a Sum. PutFactors makes factors of floats in their
// place, from the start of a row on, vector by vector, each read before, and returns what they
// stand for; they may take less room, so FactorsOf says where those from `at` on lie. Seen puts
// zeros for the numbers outside `visible`, counted from the lane's first.

struct PlainFactors {
  using Sum = Vec;
  static constexpr int kPack = 1;
  static Vec PutFactors(float* row, int64_t at, Vec x) {
    Store(row + at, x);
    return x;
  }
  static const float* FactorsOf(const float* row, int64_t at) { return row + at; }
  static Vec MulAdd(Vec sum, Vec numbers, const float* factors, int64_t at) {
    return sum + numbers * factors[at];
  }
  static Vec Seen(Vec numbers, Range) { return numbers; }
};

struct Float32Kv : Float32, PlainFactors {};

// Two factors of 16 bits, from the `at`th on.
inline int32_t PairAt(const float* factors, int64_t at) {
  int32_t pair;
  __builtin_memcpy(&pair, reinterpret_cast<const char*>(factors) + 2 * at, sizeof pair);
  return pair;
}

// Pairs, the first in the low half: what a dot product of bfloat16 takes, and wide with one
// instruction everywhere else. With avx512_bf16 and amx factors are rounded to bfloat16 as well.
struct Bfloat16Kv {
  using Type = uint16_t;
  using Sum = Vec;
  static constexpr int kPack = kKvPack;
  typedef uint32_t LoosePairs __attribute__((vector_size(kLanes * 4), aligned(2), may_alias));

  static BitVec Load(const uint16_t* from) { return *reinterpret_cast<const LoosePairs*>(from); }
  static BitVec Seen(BitVec pairs, Range visible) {
    const uint32_t low = visible.begin <= 0 && visible.end > 0 ? 0xffff : 0;
    const uint32_t high = visible.begin <= 1 && visible.end > 1 ? 0xffff0000 : 0;
    return pairs & (low | high);
  }
#if defined(__AVX512BF16__)
  static Vec PutFactors(float* row, int64_t at, Vec x) {
    const __m256bh rounded = _mm512_cvtneps_pbh(x);
    const auto halves = reinterpret_cast<LooseHalfVec>(rounded);
    *reinterpret_cast<LooseHalfVec*>(reinterpret_cast<char*>(row) + 2 * at) = halves;
    return reinterpret_cast<Vec>(Bfloat16::Widen(halves) << 16);
  }
  static const float* FactorsOf(const float* row, int64_t at) { return row + at / 2; }
  static Vec MulAdd(Vec sum, BitVec pairs, const float* factors, int64_t at) {
    return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(pairs),
                            reinterpret_cast<__m512bh>(_mm512_set1_epi32(PairAt(factors, at))));
  }
#else
  static Vec PutFactors(float* row, int64_t at, Vec x) {
    return PlainFactors::PutFactors(row, at, x);
  }
  static const float* FactorsOf(const float* row, int64_t at) { return row + at; }
  static Vec MulAdd(Vec sum, BitVec pairs, const float* factors, int64_t at) {
    sum += reinterpret_cast<Vec>(pairs << 16) * factors[at];
    return sum + reinterpret_cast<Vec>(pairs & 0xffff0000) * factors[at + 1];
  }
#endif
};

// Codes, in pairs; what they are to be multiplied by lies behind them (ScalesOf). Factors are
// 16-bit integers, so that products and their sums are exact. PutFactors leaves floats: PutIntegers
// makes the factors, of a whole query (kMaxHeadDim * 32767 * 128 fits) or of a block's weights once
// they have the values' scales.
struct Int8Kv {
  using Type = int8_t;
  using Sum = IntVec;
  static constexpr int kPack = kKvPack;

  static ShortVec Load(const int8_t* from) {
#if defined(__AVX512BW__)
    const auto* pairs = reinterpret_cast<const __m256i_u*>(from);
    return reinterpret_cast<ShortVec>(_mm512_cvtepi8_epi16(*pairs));
#elif defined(__AVX2__)
    const auto* pairs = reinterpret_cast<const __m128i_u*>(from);
    return reinterpret_cast<ShortVec>(_mm256_cvtepi8_epi16(*pairs));
#elif defined(__SSE4_1__)
    return reinterpret_cast<ShortVec>(_mm_cvtepi8_epi16(_mm_loadu_si64(from)));
#else
    typedef int8_t Pairs __attribute__((vector_size(kLanes * 2), aligned(1), may_alias));
    return __builtin_convertvector(*reinterpret_cast<const Pairs*>(from), ShortVec);
#endif
  }
  static Vec PutFactors(float* row, int64_t at, Vec x) {
    return PlainFactors::PutFactors(row, at, x);
  }
  static const float* FactorsOf(const float* row, int64_t at) { return row + at; }
  static IntVec MulAdd(IntVec sum, ShortVec pairs, const float* factors, int64_t at) {
    const int32_t pair = PairAt(factors, at);
#if defined(__AVX512VNNI__)
    return reinterpret_cast<IntVec>(_mm512_dpwssd_epi32(
        reinterpret_cast<__m512i>(sum), reinterpret_cast<__m512i>(pairs), _mm512_set1_epi32(pair)));
#elif defined(__AVX512BW__)
    return sum + reinterpret_cast<IntVec>(
                     _mm512_madd_epi16(reinterpret_cast<__m512i>(pairs), _mm512_set1_epi32(pair)));
#elif defined(__AVX2__)
    return sum + reinterpret_cast<IntVec>(
                     _mm256_madd_epi16(reinterpret_cast<__m256i>(pairs), _mm256_set1_epi32(pair)));
#elif defined(__SSE2__)
    return sum + reinterpret_cast<IntVec>(
                     _mm_madd_epi16(reinterpret_cast<__m128i>(pairs), _mm_set1_epi32(pair)));
#else
    const IntVec both = reinterpret_cast<IntVec>(pairs);
    return sum + (both << 16 >> 16) * (pair << 16 >> 16) + (both >> 16) * (pair >> 16);
#endif
  }
};

// Makes `size` floats, a multiple of 16, a group of as many integers, with what those are to be
// multiplied by behind them.
[[gnu::always_inline]] inline void PutIntegers(float* group, int size) {
  IntVec sums = {};
  group[size / 2] = RoundToCodes<32767>(group, size, reinterpret_cast<int16_t*>(group), sums);
}

inline float ScaleOfIntegers(const float* group, int size) { return group[size / 2]; }

template <typename Kv>
constexpr bool kScaled = sizeof(typename Kv::Type) == 1;
template <typename Kv>
constexpr int kScaleElements = kScaled<Kv> ? kKvScaleBytes : 0;

// Calls run(Kv()) with the storage type.
template <typename Run>
void WithKv(Element element, Run run) {
  if (element == Element::kFloat32) return run(Float32Kv());
  if (element == Element::kInt8) return run(Int8Kv());
  run(Bfloat16Kv());
}

// Rotates the first 2 * half dimensions by halves (GPT-NeoX order), copies the others, scales all,
// and fills up to padded_dim with zeros.
void Rotate(const float* x, const float* cos_sin, const AttentionCall& call, float scale,
            float* to) {
  const int half = call.rotary_half;
  const float* sines = cos_sin + half;
  int j = 0;
  for (; j + kLanes <= half; j += kLanes) {
    const Vec cosine = Load(cos_sin + j) * scale, sine = Load(sines + j) * scale;
    const Vec a = Load(x + j), b = Load(x + half + j);
    Store(to + j, a * cosine - b * sine);
    Store(to + half + j, b * cosine + a * sine);
  }
  for (; j < half; ++j) {
    const float cosine = cos_sin[j] * scale, sine = sines[j] * scale;
    const float a = x[j], b = x[half + j];
    to[j] = a * cosine - b * sine;
    to[half + j] = b * cosine + a * sine;
  }
  for (int d = 2 * half; d < call.head_dim; ++d) to[d] = x[d] * scale;
  for (int d = call.head_dim; d < call.padded_dim; ++d) to[d] = 0;
}

const float* RotaryOf(const AttentionCall& call, int64_t row, bool pinned) {
  return call.rotary + (row * 2 + (pinned ? 1 : 0)) * 2 * call.rotary_half;
}

int64_t QkvStride(const AttentionCall& call) {
  return static_cast<int64_t>(call.heads + 2 * call.kv_heads) * call.head_dim;
}

// Elements of the keys of a block and head, or of its values.
template <typename Kv>
int PartOf(const AttentionCall& call) {
  return kBlockTokens * call.padded_dim + kScaleElements<Kv>;
}

// Keys of one block and head; the values follow PartOf elements later.
template <typename Kv>
typename Kv::Type* BlockOf(const AttentionCall& call, int64_t block, int kv_head) {
  const int64_t index = block * call.kv_heads + kv_head;
  return static_cast<typename Kv::Type*>(call.kv) + index * 2 * kBlockTokens * call.padded_dim +
         index * 2 * kScaleElements<Kv>;
}

// Of the 16 slots whose keys or values `part` holds.
inline const float* ScalesOf(const AttentionCall& call, const int8_t* part) {
  return reinterpret_cast<const float*>(part + kBlockTokens * call.padded_dim);
}

}  // namespace
}  // namespace sinkstream::kernels
