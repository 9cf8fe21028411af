#include "engine/torch/ops/attention_probe.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "engine/torch/ops/kv_shape.h"

namespace sinkstream {
namespace {

using kernels::AttentionCall;
using kernels::AttentionTile;
using kernels::Element;
using kernels::kBlockTokens;

// Consecutive tokens of one kind, pinned or recent, that the row sees.
struct Visible {
  const int32_t* blocks;
  int64_t begin, end;  // slots, from the first slot of the first block
  int64_t distance;    // of the row from slot 0
};

// A query head, and where its keys lie.
struct Head {
  int kv_head;
  float slope;  // ALiBi's; 0 without
};

using Query = std::array<float, kernels::kMaxHeadDim>;

// The query rotated by halves, by the angles for pinned tokens or for recent ones, and scaled.
Query Rotated(const AttentionCall& call, const float* query, const float* cos_sin) {
  Query rotated;
  std::copy_n(query, call.head_dim, rotated.begin());
  const int half = call.rotary_half;
  for (int j = 0; j < half; ++j) {
    const float cosine = cos_sin[j], sine = cos_sin[half + j];
    rotated[j] = query[j] * cosine - query[half + j] * sine;
    rotated[half + j] = query[half + j] * cosine + query[j] * sine;
  }
  for (int j = 0; j < call.head_dim; ++j) rotated[j] *= call.scale;
  return rotated;
}

// The softmax of scores as they come, and the part of it that pinned tokens have.
class Softmax {
 public:
  void Add(double score, bool pinned) {
    if (score > highest_) {
      const double fade = std::exp(highest_ - score);
      pinned_ *= fade;
      all_ *= fade;
      highest_ = score;
    }
    const double weight = std::exp(score - highest_);
    all_ += weight;
    if (pinned) pinned_ += weight;
  }
  double PinnedPart() const { return pinned_ / all_; }

 private:
  double highest_ = -std::numeric_limits<double>::infinity();
  double pinned_ = 0, all_ = 0;
};

float ToFloat(float value) { return value; }
float ToFloat(uint16_t bfloat16) { return std::bit_cast<float>(uint32_t{bfloat16} << 16); }
float ToFloat(int8_t code) { return code; }

template <typename Stored>
constexpr Element kElementOf = Element::kBfloat16;
template <>
constexpr Element kElementOf<float> = Element::kFloat32;
template <>
constexpr Element kElementOf<int8_t> = Element::kInt8;

template <typename Stored>
constexpr int kPack = kElementOf<Stored> == Element::kFloat32 ? 1 : kernels::kKvPack;

// Of all slots of a block, of which the keys are [dim / kPack][slot][kPack]. Those not seen may
// hold anything.
template <typename Stored>
void ScoreBlock(const AttentionCall& call, const Stored* keys, const Query& query, float* scores) {
  std::fill_n(scores, kBlockTokens, 0.0f);
  for (int j = 0; j < call.head_dim; ++j) {
    const int in_pack = j % kPack<Stored>;
    const Stored* const numbers = keys + (j - in_pack) * kBlockTokens + in_pack;
    for (int slot = 0; slot < kBlockTokens; ++slot) {
      scores[slot] += query[j] * ToFloat(numbers[slot * kPack<Stored>]);
    }
  }
  if constexpr (kElementOf<Stored> == Element::kInt8) {
    float scales[kBlockTokens];
    std::memcpy(scales, keys + kBlockTokens * call.padded_dim, sizeof scales);
    for (int slot = 0; slot < kBlockTokens; ++slot) scores[slot] *= scales[slot];
  }
}

// Adds the scores of the visible tokens.
template <typename Stored>
void Score(const AttentionCall& call, const Head& head, const Query& query, const Visible& visible,
           bool pinned, Softmax& softmax) {
  float block_scores[kBlockTokens];
  const int64_t block_size = 2 * KvPart(kElementOf<Stored>, call.padded_dim);
  for (int64_t slot = visible.begin; slot < visible.end; ++slot) {
    if (slot == visible.begin || slot % kBlockTokens == 0) {
      const int64_t block = visible.blocks[slot / kBlockTokens];
      const auto* const keys =
          static_cast<const Stored*>(call.kv) + (block * call.kv_heads + head.kv_head) * block_size;
      ScoreBlock(call, keys, query, block_scores);
    }
    softmax.Add(block_scores[slot % kBlockTokens] -
                    static_cast<double>(head.slope) * static_cast<double>(visible.distance - slot),
                pinned);
  }
}

// Evenly spaced ones, if all would be too much.
int HeadsLookedAt(const AttentionCall& call, int64_t visible) {
  return static_cast<int>(std::clamp<int64_t>(kMostProbedScores / visible, 1, call.heads));
}

template <typename Stored>
double MeanOverHeads(const AttentionCall& call, const AttentionTile& tile, int64_t row) {
  const int64_t n = tile.position + row - tile.row;
  const int64_t evicted = std::max<int64_t>(n - tile.window + 1 - tile.sinks, 0);
  const int64_t oldest = std::max(tile.sinks, n - tile.window + 1);
  const Visible pinned = {tile.pinned, 0, std::min(tile.sinks, n + 1), n - evicted};
  const Visible recent = {tile.recent, oldest - tile.recent_position,
                          std::max(oldest, n + 1) - tile.recent_position, n - tile.recent_position};
  const float* const queries =
      call.qkv + row * (call.heads + int64_t{2} * call.kv_heads) * call.head_dim;
  const float* const recent_angles = call.rotary + row * 4 * call.rotary_half;
  const int count =
      HeadsLookedAt(call, std::max<int64_t>(1, pinned.end + recent.end - recent.begin));
  double sum = 0;
  for (int i = 0; i < count; ++i) {
    const int index = i * call.heads / count;
    const Head head = {index / (call.heads / call.kv_heads),
                       call.slopes != nullptr ? call.slopes[index] : 0};
    const float* const query = queries + int64_t{index} * call.head_dim;
    Softmax softmax;
    Score<Stored>(call, head, Rotated(call, query, recent_angles + 2 * call.rotary_half), pinned,
                  /*pinned=*/true, softmax);
    Score<Stored>(call, head, Rotated(call, query, recent_angles), recent, /*pinned=*/false,
                  softmax);
    sum += softmax.PinnedPart();
  }
  return sum / count;
}

}  // namespace

double PinnedAttention(Element element, const AttentionCall& call, const AttentionTile& tile,
                       int64_t row) {
  if (element == Element::kFloat32) return MeanOverHeads<float>(call, tile, row);
  if (element == Element::kInt8) return MeanOverHeads<int8_t>(call, tile, row);
  return MeanOverHeads<uint16_t>(call, tile, row);
}

}  // namespace sinkstream
