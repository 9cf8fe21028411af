#include "engine/torch/ops/kernels_isa.h"
#include "engine/torch/ops/kernels_kv.h"
#include "engine/torch/ops/row_tiles.h"

namespace sinkstream::kernels {
namespace {

constexpr int kQueryTile = 4;       // queries that attend at once
constexpr int kScoredTogether = 2;  // vectors of slots
constexpr int kVectorsPerBlock = kBlockTokens / kLanes;
#if defined(__AVX512F__)
constexpr int kValueVectors = 4;  // accumulators: kQueryTile * kValueVectors, of bytes twice that
#else
constexpr int kValueVectors = 2;
#endif
// Of 64 bytes: dimensions of a block's keys, vectors of a value.
template <typename Kv>
constexpr int kDimsPerLine = 64 / (kBlockTokens * int{sizeof(typename Kv::Type)});
template <typename Kv>
constexpr int kVectorsPerLine = 64 / (kLanes * Kv::kPack * int{sizeof(typename Kv::Type)});

int64_t Max(int64_t a, int64_t b) { return a > b ? a : b; }
int64_t Min(int64_t a, int64_t b) { return a < b ? a : b; }

// The blocks of one kind, pinned or recent. Slots are counted from the first slot of the first
// block.
struct Segment {
  const int32_t* blocks;
  int64_t count;
  const float* queries;  // [queries of the tile][padded_dim], rotated for this kind, as factors
  int64_t score_offset;  // of slot 0 in a row of scores
};

// Up to kQueryTile queries (row, head) and what they see.
struct Queries {
  int first;                         // in the tile; query = row * heads per kv head + head
  Range visible[2][kQueryTile];      // slots of the pinned and of the recent segment
  int64_t distances[2][kQueryTile];  // of the query from slot 0 of either segment
  float slopes[kQueryTile];          // with ALiBi
  float* scores;                     // [kQueryTile][score_stride]; later weights, their factors
  int64_t score_stride;
};

// Adds the products of kRows queries with the keys of kVectors vectors of slots. Asks for the keys
// that come `next`, and for their values: blocks lie apart, too short for the processor to see by
// itself where it goes.
template <typename Kv, int kRows, int kVectors>
void AddProducts(const AttentionCall& call, const typename Kv::Type* const* keys,
                 const typename Kv::Type* const* next, const float* queries,
                 typename Kv::Sum (&sums)[kRows][kVectors]) {
  for (int d = 0; d < call.head_dim; d += Kv::kPack) {
    decltype(Kv::Load(keys[0])) key[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      key[v] = Kv::Load(keys[v] + d * kBlockTokens);
      if (d % kDimsPerLine<Kv> == 0) {
        PrefetchToL2(next[v] + d * kBlockTokens);
        PrefetchToL2(next[v] + d * kBlockTokens + PartOf<Kv>(call));
      }
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const float* query = queries + r * call.padded_dim;
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sums[r][v] = Kv::MulAdd(sums[r][v], key[v], query, d);
    }
  }
}

// A masked slot may hold anything, NaN included: it is replaced, never multiplied away.
Vec Masked(Vec numbers, Range visible, int64_t slot, float instead) {
  if (visible.begin <= slot && slot + kLanes <= visible.end) return numbers;
  const int32_t begin = static_cast<int32_t>(Max(visible.begin - slot, 0));
  const int32_t end = static_cast<int32_t>(Max(Min(visible.end - slot, kLanes), 0));
  return (kLaneNumbers >= begin) & (kLaneNumbers < end) ? numbers : Splat(instead);
}

// Where, in its block, the first slot of a vector is.
int LaneOf(int64_t vector) { return static_cast<int>(vector % kVectorsPerBlock) * kLanes; }

// Of the slots of one vector; behind the last one, of the last.
template <typename Kv>
const typename Kv::Type* KeysOf(const AttentionCall& call, const Segment& segment, int kv_head,
                                int64_t vector) {
  const int64_t at = Min(vector, segment.count * kVectorsPerBlock - 1);
  return BlockOf<Kv>(call, segment.blocks[at / kVectorsPerBlock], kv_head) + LaneOf(at) * Kv::kPack;
}

// Makes scores of the products of integers. Asks for the scales that come next, and for those of
// the values, which nothing else would.
template <int kRows, int kVectors>
[[gnu::always_inline]] inline void ScaleProducts(const AttentionCall& call, int64_t vector,
                                                 const int8_t* const* keys,
                                                 const int8_t* const* next, const float* queries,
                                                 const IntVec (&products)[kRows][kVectors],
                                                 Vec (&scores)[kRows][kVectors]) {
  for (int v = 0; v < kVectors; ++v) {
    const int lane = LaneOf(vector + v);
    const Vec scale = Load(ScalesOf(call, keys[v] - lane * Int8Kv::kPack) + lane);
    for (int r = 0; r < kRows; ++r) {
      const float query_scale = ScaleOfIntegers(queries + r * call.padded_dim, call.padded_dim);
      scores[r][v] = __builtin_convertvector(products[r][v], Vec) * (scale * query_scale);
    }
    PrefetchToL2(ScalesOf(call, next[v]));
    PrefetchToL2(ScalesOf(call, next[v] + PartOf<Int8Kv>(call)));
  }
}

template <typename Kv, int kRows, int kVectors>
void ScoreVectors(const AttentionCall& call, const Segment& segment, int kv_head, int kind,
                  const Queries& queries, int64_t vector) {
  const typename Kv::Type *keys[kVectors], *next[kVectors];
  for (int v = 0; v < kVectors; ++v) {
    keys[v] = KeysOf<Kv>(call, segment, kv_head, vector + v);
    next[v] = KeysOf<Kv>(call, segment, kv_head, vector + v + kVectors);
  }
  const float* const factors = segment.queries + queries.first * call.padded_dim;
  Vec scores[kRows][kVectors] = {};
  if constexpr (kScaled<Kv>) {
    IntVec products[kRows][kVectors] = {};
    AddProducts<Kv>(call, keys, next, factors, products);
    ScaleProducts(call, vector, keys, next, factors, products, scores);
  } else {
    AddProducts<Kv>(call, keys, next, factors, scores);
  }
  for (int r = 0; r < kRows; ++r) {
    float* const to = queries.scores + r * queries.score_stride + segment.score_offset;
    for (int v = 0; v < kVectors; ++v) {
      const int64_t slot = (vector + v) * kLanes;
      Store(to + slot, Masked(scores[r][v], queries.visible[kind][r], slot, -__builtin_inff()));
    }
  }
}

template <typename Kv, int kRows>
void ScoreSegment(const AttentionCall& call, const Segment& segment, int kv_head, int kind,
                  const Queries& queries) {
  const int64_t vectors = segment.count * kVectorsPerBlock;
  int64_t vector = 0;
  for (; vector + kScoredTogether <= vectors; vector += kScoredTogether) {
    ScoreVectors<Kv, kRows, kScoredTogether>(call, segment, kv_head, kind, queries, vector);
  }
  if (vector < vectors) ScoreVectors<Kv, kRows, 1>(call, segment, kv_head, kind, queries, vector);
}

// ALiBi: takes slope * distance from a query's scores with the slots of a segment, `distance` being
// that of slot 0. In integers first: a text position is more than a float can count. A masked
// slot's score is -infinity and stays it.
void SubtractDistances(float slope, int64_t distance, float* scores, int64_t slots) {
  for (int64_t slot = 0; slot < slots; slot += kLanes) {
    const IntVec distances = static_cast<int32_t>(distance - slot) - kLaneNumbers;
    Store(scores + slot, Load(scores + slot) - __builtin_convertvector(distances, Vec) * slope);
  }
}

template <int kRows>
void SubtractDistances(const Segment (&segments)[2], const Queries& queries) {
  for (int r = 0; r < kRows; ++r) {
    float* scores = queries.scores + r * queries.score_stride;
    for (int kind = 0; kind < 2; ++kind) {
      SubtractDistances(queries.slopes[r], queries.distances[kind][r],
                        scores + segments[kind].score_offset, segments[kind].count * kBlockTokens);
    }
  }
}

// Turns scores into weights in place, factors of the values unless those have scales; returns one
// over their sum. Slots that are not seen get weight 0 and add nothing.
template <typename Kv>
float Softmax(float* scores, int64_t count) {
  Vec most = Splat(-__builtin_inff());
  for (int64_t i = 0; i < count; i += kLanes) {
    const Vec score = Load(scores + i);
    most = score > most ? score : most;
  }
  const float largest = Largest(most);
  Vec sums = {};
  for (int64_t i = 0; i < count; i += kLanes) {
    sums += Kv::PutFactors(scores, i, Exp(Load(scores + i) - largest));
  }
  return 1.0f / Sum(sums);
}

// Adds one block's part in the sums of kVectors vectors of dimensions, slots in ascending order: of
// a block that every query sees whole. The values that come `next` are asked for once more, into
// the first level: AddProducts has brought them to the second.
template <typename Kv, int kRows, int kVectors>
void AddWholeBlock(const AttentionCall& call, const typename Kv::Type* values,
                   const typename Kv::Type* next, const float* const (&weights)[kRows],
                   typename Kv::Sum (&sums)[kRows][kVectors]) {
  for (int s = 0; s < kBlockTokens; s += Kv::kPack) {
    decltype(Kv::Load(values)) value[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      value[v] = Kv::Load(values + s * call.padded_dim + v * kLanes * Kv::kPack);
      if (v % kVectorsPerLine<Kv> == 0) {
        __builtin_prefetch(next + s * call.padded_dim + v * kLanes * Kv::kPack);
      }
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        sums[r][v] = Kv::MulAdd(sums[r][v], value[v], weights[r], s);
      }
    }
  }
}

// The same of any block: integers of weights are zeros where nothing is seen.
template <int kRows, int kVectors>
void AddBlockOfCodes(const AttentionCall& call, const int8_t* values, const int8_t* next,
                     const float* const (&weights)[kRows], Vec (&sums)[kRows][kVectors]) {
  IntVec products[kRows][kVectors] = {};
  AddWholeBlock<Int8Kv>(call, values, next, weights, products);
  for (int r = 0; r < kRows; ++r) {
    const float scale = ScaleOfIntegers(weights[r], kBlockTokens);
    for (int v = 0; v < kVectors; ++v) {
      sums[r][v] += __builtin_convertvector(products[r][v], Vec) * scale;
    }
  }
}

template <typename Kv, int kRows, int kVectors>
void AddVisibleSlots(const AttentionCall& call, const typename Kv::Type* values,
                     const Queries& queries, int kind, int64_t slot,
                     const float* const (&weights)[kRows], Vec (&sums)[kRows][kVectors]) {
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    const int64_t begin = Max(queries.visible[kind][r].begin - slot, 0);
    const int64_t end = Min(queries.visible[kind][r].end - slot, kBlockTokens);
    for (int64_t s = begin / Kv::kPack * Kv::kPack; s < end; s += Kv::kPack) {
      const Range seen = {begin - s, end - s};
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        const auto value = Kv::Load(values + s * call.padded_dim + v * kLanes * Kv::kPack);
        sums[r][v] = Kv::MulAdd(sums[r][v], Kv::Seen(value, seen), weights[r], s);
      }
    }
  }
}

template <int kRows>
bool AllSeeBlock(const Queries& queries, int kind, int64_t slot) {
  bool all = true;
  for (int r = 0; r < kRows; ++r) {
    const Range visible = queries.visible[kind][r];
    all = all && visible.begin <= slot && slot + kBlockTokens <= visible.end;
  }
  return all;
}

// Of one block; behind the last one, of the last.
template <typename Kv>
const typename Kv::Type* ValuesOf(const AttentionCall& call, const Segment& segment, int kv_head,
                                  int64_t block) {
  const int64_t at = Min(block, segment.count - 1);
  return BlockOf<Kv>(call, segment.blocks[at], kv_head) + PartOf<Kv>(call);
}

// Takes the values' scales into their weights and makes integers of those, block by block: of one
// group for a row small weights would vanish beside the largest, however many they are. Scales of
// slots that are not seen may be anything.
template <int kRows>
void MakeIntegerWeights(const AttentionCall& call, const Segment& segment, int kv_head, int kind,
                        const Queries& queries) {
  for (int64_t b = 0; b < segment.count; ++b) {
    const float* scales = ScalesOf(call, ValuesOf<Int8Kv>(call, segment, kv_head, b));
    const int64_t slot = b * kBlockTokens;
    for (int r = 0; r < kRows; ++r) {
      float* weights = queries.scores + r * queries.score_stride + segment.score_offset + slot;
      for (int i = 0; i < kBlockTokens; i += kLanes) {
        const Vec weight = Load(weights + i) * Load(scales + i);
        Store(weights + i, Masked(weight, queries.visible[kind][r], slot + i, 0));
      }
      PutIntegers(weights, kBlockTokens);
    }
  }
}

template <typename Kv, int kRows, int kVectors>
void Gather(const AttentionCall& call, const Segment (&segments)[2], int kv_head,
            const Queries& queries, int dim, const float* scales, float* const* to) {
  Vec sums[kRows][kVectors] = {};
  for (int kind = 0; kind < 2; ++kind) {
    for (int64_t b = 0; b < segments[kind].count; ++b) {
      const auto* values = ValuesOf<Kv>(call, segments[kind], kv_head, b) + dim * Kv::kPack;
      const auto* next = ValuesOf<Kv>(call, segments[kind], kv_head, b + 1) + dim * Kv::kPack;
      const int64_t slot = b * kBlockTokens;
      const float* weights[kRows];
      for (int r = 0; r < kRows; ++r) {
        weights[r] = Kv::FactorsOf(queries.scores + r * queries.score_stride,
                                   segments[kind].score_offset + slot);
      }
      if constexpr (kScaled<Kv>) {
        AddBlockOfCodes(call, values, next, weights, sums);
      } else if (AllSeeBlock<kRows>(queries, kind, slot)) {
        AddWholeBlock<Kv>(call, values, next, weights, sums);
      } else {
        AddVisibleSlots<Kv>(call, values, queries, kind, slot, weights, sums);
      }
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) {
      const int at = dim + v * kLanes;
      if (at >= call.head_dim) continue;
      StoreFirst(to[r] + at, sums[r][v] * scales[r], Min(kLanes, call.head_dim - at));
    }
  }
}

template <typename Kv, int kRows>
void AttendQueries(const AttentionCall& call, const Segment (&segments)[2], int kv_head,
                   const Queries& queries, float* const* to) {
  for (int kind = 0; kind < 2; ++kind) {
    ScoreSegment<Kv, kRows>(call, segments[kind], kv_head, kind, queries);
  }
  if (call.slopes != nullptr) SubtractDistances<kRows>(segments, queries);
  float scales[kRows];
  const int64_t slots = (segments[0].count + segments[1].count) * kBlockTokens;
  for (int r = 0; r < kRows; ++r) {
    scales[r] = Softmax<Kv>(queries.scores + r * queries.score_stride, slots);
  }
  if constexpr (kScaled<Kv>) {
    for (int kind = 0; kind < 2; ++kind) {
      MakeIntegerWeights<kRows>(call, segments[kind], kv_head, kind, queries);
    }
  }
  int dim = 0;
  for (; dim + kValueVectors * kLanes <= call.padded_dim; dim += kValueVectors * kLanes) {
    Gather<Kv, kRows, kValueVectors>(call, segments, kv_head, queries, dim, scales, to);
  }
  for (; dim < call.padded_dim; dim += kLanes) {
    Gather<Kv, kRows, 1>(call, segments, kv_head, queries, dim, scales, to);
  }
}

template <typename Kv>
void RotateQueries(const AttentionCall& call, const AttentionTile& tile, int kv_head, bool pinned,
                   float* to) {
  const int group = call.heads / call.kv_heads;
  for (int64_t row = tile.row; row < tile.row + tile.rows; ++row) {
    const float* x = call.qkv + row * QkvStride(call) + kv_head * group * call.head_dim;
    for (int head = 0; head < group; ++head, to += call.padded_dim) {
      Rotate(x + head * call.head_dim, RotaryOf(call, row, pinned), call, call.scale, to);
      if constexpr (kScaled<Kv>) {
        PutIntegers(to, call.padded_dim);
      } else {
        for (int d = 0; d < call.padded_dim; d += kLanes) Kv::PutFactors(to, d, Load(to + d));
      }
    }
  }
}

void SetVisible(const AttentionTile& tile, int64_t row, int index, Queries& queries) {
  const int64_t n = tile.position + row;
  const int64_t oldest = Max(tile.sinks, n - tile.window + 1);
  queries.visible[0][index] = {0, Min(tile.sinks, n + 1)};
  queries.visible[1][index] = {oldest - tile.recent_position, n + 1 - tile.recent_position};
  const int64_t evicted = Max(n - tile.window + 1 - tile.sinks, 0);
  queries.distances[0][index] = n - evicted;
  queries.distances[1][index] = n - tile.recent_position;
}

// A tile's scratch: its queries rotated for pinned tokens, then for recent ones, [queries]
// [padded_dim] each; then the scores of the queries that attend at once, [kQueryTile][slots].
int64_t QueriesOf(const AttentionCall& call, const AttentionTile& tile) {
  return tile.rows * (call.heads / call.kv_heads);
}

int64_t SlotsOf(const AttentionTile& tile) {
  return (tile.pinned_blocks + tile.recent_blocks) * kBlockTokens;
}

int64_t ScratchOf(const AttentionCall& call, const AttentionTile& tile) {
  return 2 * QueriesOf(call, tile) * call.padded_dim + kQueryTile * SlotsOf(tile);
}

// Asks for the keys and values that no block before asks for. Of recent tokens alone: pinned ones
// are few, or shared, or both.
template <typename Kv>
void PrefetchFirstBlocks(const AttentionCall& call, const Segment& segment, int kv_head) {
  for (int64_t b = 0; b < Min(kScoredTogether, segment.count); ++b) {
    const typename Kv::Type* block = BlockOf<Kv>(call, segment.blocks[b], kv_head);
    const int bytes = 2 * PartOf<Kv>(call) * int{sizeof *block};
    for (int i = 0; i < bytes; i += 64) PrefetchToL2(reinterpret_cast<const char*>(block) + i);
  }
}

template <typename Kv>
void AttendTile(const AttentionCall& call, const AttentionTile& tile, int kv_head, float* scratch) {
  const int group = call.heads / call.kv_heads;
  const int64_t count = QueriesOf(call, tile);
  float* pinned = scratch;
  float* recent = pinned + count * call.padded_dim;
  float* scores = recent + count * call.padded_dim;
  const Segment segments[2] = {
      {tile.pinned, tile.pinned_blocks, pinned, 0},
      {tile.recent, tile.recent_blocks, recent, tile.pinned_blocks * kBlockTokens}};
  PrefetchFirstBlocks<Kv>(call, segments[1], kv_head);
  if (tile.pinned_blocks > 0) RotateQueries<Kv>(call, tile, kv_head, true, pinned);
  RotateQueries<Kv>(call, tile, kv_head, false, recent);
  Queries queries;
  queries.scores = scores;
  queries.score_stride = SlotsOf(tile);
  for (int64_t first = 0; first < count; first += kQueryTile) {
    float* to[kQueryTile];
    const int64_t taken = Min(kQueryTile, count - first);
    queries.first = static_cast<int>(first);
    for (int q = 0; q < taken; ++q) {
      const int64_t row = (first + q) / group, head = (first + q) % group;
      SetVisible(tile, row, q, queries);
      if (call.slopes != nullptr) queries.slopes[q] = call.slopes[kv_head * group + head];
      to[q] = call.out + ((tile.row + row) * call.heads + kv_head * group + head) * call.head_dim;
    }
    WithCount<kQueryTile>(taken, [&]<int kRows>() {
      AttendQueries<Kv, kRows>(call, segments, kv_head, queries, to);
    });
  }
}

}  // namespace

namespace SINKSTREAM_ISA {

int64_t AttendScratch(const AttentionCall& call, const AttentionTile& tile) {
  return ScratchOf(call, tile);
}

void Attend(Element element, const AttentionCall& call, const AttentionTile& tile, int kv_head,
            float* scratch) {
  WithKv(element, [&]<typename Kv>(Kv) { AttendTile<Kv>(call, tile, kv_head, scratch); });
}

}  // namespace SINKSTREAM_ISA
}  // namespace sinkstream::kernels
