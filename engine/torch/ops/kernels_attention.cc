#include "engine/torch/ops/kernels_isa.h"
#include "engine/torch/ops/row_tiles.h"
#include "engine/torch/ops/simd.h"

namespace sinkstream::kernels {
namespace {

constexpr int kQueryTile = 4;  // queries that attend at once
constexpr int kVectorsPerBlock = kBlockTokens / kLanes;
#if defined(__AVX512F__)
constexpr int kValueVectors = 4;  // accumulators: kQueryTile * kValueVectors
#else
constexpr int kValueVectors = 2;
#endif

int64_t Max(int64_t a, int64_t b) { return a > b ? a : b; }
int64_t Min(int64_t a, int64_t b) { return a < b ? a : b; }

// Rotates the first 2 * half dimensions by halves (GPT-NeoX order), copies the others, scales all.
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
}

const float* RotaryOf(const AttentionCall& call, int64_t row, bool pinned) {
  return call.rotary + (row * 2 + (pinned ? 1 : 0)) * 2 * call.rotary_half;
}

int64_t QkvStride(const AttentionCall& call) {
  return static_cast<int64_t>(call.heads + 2 * call.kv_heads) * call.head_dim;
}

// Keys of one block and head; the values follow kBlockTokens * padded_dim later.
template <typename Kv>
typename Kv::Type* BlockOf(const AttentionCall& call, int64_t block, int kv_head) {
  return static_cast<typename Kv::Type*>(call.kv) +
         (block * call.kv_heads + kv_head) * 2 * kBlockTokens * call.padded_dim;
}

template <typename Kv>
void WriteRows(const AttentionCall& call, Range rows) {
  float key[kMaxHeadDim];
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    const KvSlot at = call.slots[row];
    const float* keys = call.qkv + row * QkvStride(call) + call.heads * call.head_dim;
    for (int head = 0; head < call.kv_heads; ++head) {
      Rotate(keys + head * call.head_dim, RotaryOf(call, row, false), call, 1.0f, key);
      const float* value = keys + (call.kv_heads + head) * call.head_dim;
      auto* to = BlockOf<Kv>(call, at.block, head);
      auto* value_to = to + kBlockTokens * call.padded_dim + at.slot * call.padded_dim;
      for (int d = 0; d < call.head_dim; ++d) to[d * kBlockTokens + at.slot] = Kv::Narrow(key[d]);
      for (int d = 0; d < call.head_dim; ++d) value_to[d] = Kv::Narrow(value[d]);
    }
  }
}

// The blocks of one kind, pinned or recent. Slots are counted from the first slot of the first
// block.
struct Segment {
  const int32_t* blocks;
  int64_t count;
  const float* queries;  // [queries of the tile][padded_dim], rotated for this kind
  int64_t score_offset;  // of slot 0 in a row of scores
};

// Up to kQueryTile queries (row, head) and what they see.
struct Queries {
  int first;                         // in the tile; query = row * heads per kv head + head
  Range visible[2][kQueryTile];      // slots of the pinned and of the recent segment
  int64_t distances[2][kQueryTile];  // of the query from slot 0 of either segment
  float slopes[kQueryTile];          // with ALiBi
  float* scores;                     // [kQueryTile][score_stride]
  int64_t score_stride;
};

// Scores of kRows queries with the slots of kVectors vectors. Asks for the keys that come `next`:
// blocks lie apart, too short for the processor to see by itself where it goes.
template <typename Kv, int kRows, int kVectors>
void Score(const AttentionCall& call, const typename Kv::Type* const* keys,
           const typename Kv::Type* const* next, const float* queries,
           Vec (&scores)[kRows][kVectors]) {
  for (int d = 0; d < call.head_dim; ++d) {
    Vec key[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      key[v] = Kv::Load(keys[v] + d * kBlockTokens);
      __builtin_prefetch(next[v] + d * kBlockTokens);
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const float query = queries[r * call.padded_dim + d];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) scores[r][v] += key[v] * query;
    }
  }
}

IntVec LaneNumbers() {
  IntVec lanes;
  for (int lane = 0; lane < kLanes; ++lane) lanes[lane] = lane;
  return lanes;
}

// A masked slot may hold anything, NaN included: it is replaced, never multiplied away.
Vec Masked(Vec scores, Range visible, int64_t slot) {
  const int32_t begin = static_cast<int32_t>(Max(visible.begin - slot, 0));
  const int32_t end = static_cast<int32_t>(Max(Min(visible.end - slot, kLanes), 0));
  const IntVec lanes = LaneNumbers();
  return (lanes >= begin) & (lanes < end) ? scores : Splat(-__builtin_inff());
}

// Of the slots of one vector; behind the last one, of the last.
template <typename Kv>
const typename Kv::Type* KeysOf(const AttentionCall& call, const Segment& segment, int kv_head,
                                int64_t vector) {
  const int64_t at = Min(vector, segment.count * kVectorsPerBlock - 1);
  return BlockOf<Kv>(call, segment.blocks[at / kVectorsPerBlock], kv_head) +
         at % kVectorsPerBlock * kLanes;
}

template <typename Kv, int kRows, int kVectors>
void ScoreVectors(const AttentionCall& call, const Segment& segment, int kv_head, int kind,
                  const Queries& queries, int64_t vector) {
  const typename Kv::Type *keys[kVectors], *next[kVectors];
  for (int v = 0; v < kVectors; ++v) {
    keys[v] = KeysOf<Kv>(call, segment, kv_head, vector + v);
    next[v] = KeysOf<Kv>(call, segment, kv_head, vector + v + kVectors);
  }
  Vec scores[kRows][kVectors] = {};
  Score<Kv, kRows, kVectors>(call, keys, next, segment.queries + queries.first * call.padded_dim,
                             scores);
  for (int r = 0; r < kRows; ++r) {
    const Range visible = queries.visible[kind][r];
    for (int v = 0; v < kVectors; ++v) {
      const int64_t slot = (vector + v) * kLanes;
      const bool all = visible.begin <= slot && slot + kLanes <= visible.end;
      Store(queries.scores + r * queries.score_stride + segment.score_offset + slot,
            all ? scores[r][v] : Masked(scores[r][v], visible, slot));
    }
  }
}

template <typename Kv, int kRows>
void ScoreSegment(const AttentionCall& call, const Segment& segment, int kv_head, int kind,
                  const Queries& queries) {
  const int64_t vectors = segment.count * kVectorsPerBlock;
  int64_t vector = 0;
  for (; vector + 2 <= vectors; vector += 2) {
    ScoreVectors<Kv, kRows, 2>(call, segment, kv_head, kind, queries, vector);
  }
  if (vector < vectors) ScoreVectors<Kv, kRows, 1>(call, segment, kv_head, kind, queries, vector);
}

// ALiBi: takes slope * distance from a query's scores with the slots of a segment, `distance` being
// that of slot 0. In integers first: a text position is more than a float can count. A masked
// slot's score is -infinity and stays it.
void SubtractDistances(float slope, int64_t distance, float* scores, int64_t slots) {
  for (int64_t slot = 0; slot < slots; slot += kLanes) {
    const IntVec distances = static_cast<int32_t>(distance - slot) - LaneNumbers();
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

// Turns scores into weights in place; returns one over their sum. Slots that are not seen get
// weight 0 and add nothing.
float Softmax(float* scores, int64_t count) {
  Vec most = Splat(-__builtin_inff());
  for (int64_t i = 0; i < count; i += kLanes) {
    const Vec score = Load(scores + i);
    most = score > most ? score : most;
  }
  float largest = most[0];
  for (int lane = 1; lane < kLanes; ++lane) largest = most[lane] > largest ? most[lane] : largest;
  Vec sums = {};
  for (int64_t i = 0; i < count; i += kLanes) {
    const Vec weight = Exp(Load(scores + i) - largest);
    Store(scores + i, weight);
    sums += weight;
  }
  return 1.0f / Sum(sums);
}

// One block's part in the sums of kVectors vectors of dimensions, slots in ascending order: of a
// block that every query sees whole, and of any block.
template <typename Kv, int kRows, int kVectors>
void AddWholeBlock(const AttentionCall& call, const typename Kv::Type* values,
                   const typename Kv::Type* next, const float* weights, int64_t weight_stride,
                   Vec (&sums)[kRows][kVectors]) {
  for (int s = 0; s < kBlockTokens; ++s) {
    Vec value[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      value[v] = Kv::Load(values + s * call.padded_dim + v * kLanes);
      __builtin_prefetch(next + s * call.padded_dim + v * kLanes);
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const float weight = weights[r * weight_stride + s];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sums[r][v] += value[v] * weight;
    }
  }
}

template <typename Kv, int kRows, int kVectors>
void AddVisibleSlots(const AttentionCall& call, const typename Kv::Type* values,
                     const float* weights, const Queries& queries, int kind, int64_t slot,
                     Vec (&sums)[kRows][kVectors]) {
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    const int64_t begin = Max(queries.visible[kind][r].begin - slot, 0);
    const int64_t end = Min(queries.visible[kind][r].end - slot, kBlockTokens);
    for (int64_t s = begin; s < end; ++s) {
      const float weight = weights[r * queries.score_stride + s];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        sums[r][v] += Kv::Load(values + s * call.padded_dim + v * kLanes) * weight;
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
  return BlockOf<Kv>(call, segment.blocks[at], kv_head) + kBlockTokens * call.padded_dim;
}

template <typename Kv, int kRows, int kVectors>
void Gather(const AttentionCall& call, const Segment (&segments)[2], int kv_head,
            const Queries& queries, int dim, const float* scales, float* const* to) {
  Vec sums[kRows][kVectors] = {};
  for (int kind = 0; kind < 2; ++kind) {
    for (int64_t b = 0; b < segments[kind].count; ++b) {
      const auto* values = ValuesOf<Kv>(call, segments[kind], kv_head, b) + dim;
      const auto* next = ValuesOf<Kv>(call, segments[kind], kv_head, b + 1) + dim;
      const int64_t slot = b * kBlockTokens;
      const float* weights = queries.scores + segments[kind].score_offset + slot;
      if (AllSeeBlock<kRows>(queries, kind, slot)) {
        AddWholeBlock<Kv>(call, values, next, weights, queries.score_stride, sums);
      } else {
        AddVisibleSlots<Kv>(call, values, weights, queries, kind, slot, sums);
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
    scales[r] = Softmax(queries.scores + r * queries.score_stride, slots);
  }
  int dim = 0;
  for (; dim + kValueVectors * kLanes <= call.padded_dim; dim += kValueVectors * kLanes) {
    Gather<Kv, kRows, kValueVectors>(call, segments, kv_head, queries, dim, scales, to);
  }
  for (; dim < call.padded_dim; dim += kLanes) {
    Gather<Kv, kRows, 1>(call, segments, kv_head, queries, dim, scales, to);
  }
}

void RotateQueries(const AttentionCall& call, const AttentionTile& tile, int kv_head, bool pinned,
                   float* to) {
  const int group = call.heads / call.kv_heads;
  for (int64_t row = tile.row; row < tile.row + tile.rows; ++row) {
    const float* x = call.qkv + row * QkvStride(call) + kv_head * group * call.head_dim;
    for (int head = 0; head < group; ++head, to += call.padded_dim) {
      Rotate(x + head * call.head_dim, RotaryOf(call, row, pinned), call, call.scale, to);
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

template <typename Kv>
void AttendTile(const AttentionCall& call, const AttentionTile& tile, int kv_head, float* scratch) {
  const int group = call.heads / call.kv_heads;
  const int64_t count = QueriesOf(call, tile);
  float* pinned = scratch;
  float* recent = pinned + count * call.padded_dim;
  float* scores = recent + count * call.padded_dim;
  if (tile.pinned_blocks > 0) RotateQueries(call, tile, kv_head, true, pinned);
  RotateQueries(call, tile, kv_head, false, recent);
  const Segment segments[2] = {
      {tile.pinned, tile.pinned_blocks, pinned, 0},
      {tile.recent, tile.recent_blocks, recent, tile.pinned_blocks * kBlockTokens}};
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

void WriteKv(Element element, const AttentionCall& call, Range rows) {
  if (element == Element::kFloat32) return WriteRows<Float32>(call, rows);
  WriteRows<Bfloat16>(call, rows);
}

int64_t AttendScratch(const AttentionCall& call, const AttentionTile& tile) {
  return ScratchOf(call, tile);
}

void Attend(Element element, const AttentionCall& call, const AttentionTile& tile, int kv_head,
            float* scratch) {
  if (element == Element::kFloat32) return AttendTile<Float32>(call, tile, kv_head, scratch);
  AttendTile<Bfloat16>(call, tile, kv_head, scratch);
}

}  // namespace SINKSTREAM_ISA
}  // namespace sinkstream::kernels
