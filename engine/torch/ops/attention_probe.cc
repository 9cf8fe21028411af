#include "engine/torch/ops/attention_probe.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

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

// The query rotated by halves, by the angles for pinned tokens or for recent ones, and scaled.
std::vector<float> Rotated(const AttentionCall& call, const float* query, const float* cos_sin) {
  std::vector<float> rotated(query, query + call.head_dim);
  const int half = call.rotary_half;
  for (int j = 0; j < half; ++j) {
    const float cosine = cos_sin[j], sine = cos_sin[half + j];
    rotated[j] = query[j] * cosine - query[half + j] * sine;
    rotated[half + j] = query[half + j] * cosine + query[j] * sine;
  }
  for (float& value : rotated) value *= call.scale;
  return rotated;
}

float ToFloat(float value) { return value; }
float ToFloat(uint16_t bfloat16) { return std::bit_cast<float>(uint32_t{bfloat16} << 16); }

// Of all slots of a block, of which the keys are [dim][slot]. Those not seen may hold anything.
template <typename Stored>
void ScoreBlock(const Stored* keys, const std::vector<float>& query, float* scores) {
  std::fill_n(scores, kBlockTokens, 0.0f);
  for (const float factor : query) {
    for (int slot = 0; slot < kBlockTokens; ++slot) scores[slot] += factor * ToFloat(keys[slot]);
    keys += kBlockTokens;
  }
}

// Appends the scores of the visible tokens.
template <typename Stored>
void Score(const AttentionCall& call, const Head& head, const std::vector<float>& query,
           const Visible& visible, std::vector<double>& scores) {
  float block_scores[kBlockTokens];
  const int64_t block_size = int64_t{2} * kBlockTokens * call.padded_dim;
  for (int64_t slot = visible.begin; slot < visible.end; ++slot) {
    if (slot == visible.begin || slot % kBlockTokens == 0) {
      const int64_t block = visible.blocks[slot / kBlockTokens];
      const auto* const keys =
          static_cast<const Stored*>(call.kv) + (block * call.kv_heads + head.kv_head) * block_size;
      ScoreBlock(keys, query, block_scores);
    }
    scores.push_back(block_scores[slot % kBlockTokens] -
                     static_cast<double>(head.slope) *
                         static_cast<double>(visible.distance - slot));
  }
}

// The part of the softmax of `scores` that the first `pinned` of them have.
double FirstPart(const std::vector<double>& scores, size_t pinned) {
  const double highest = *std::max_element(scores.begin(), scores.end());
  double first = 0, all = 0;
  for (size_t i = 0; i < scores.size(); ++i) {
    const double weight = std::exp(scores[i] - highest);
    all += weight;
    if (i < pinned) first += weight;
  }
  return first / all;
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
  std::vector<double> scores;
  double sum = 0;
  for (int index = 0; index < call.heads; ++index) {
    const Head head = {index / (call.heads / call.kv_heads),
                       call.slopes != nullptr ? call.slopes[index] : 0};
    const float* const query = queries + int64_t{index} * call.head_dim;
    scores.clear();
    Score<Stored>(call, head, Rotated(call, query, recent_angles + 2 * call.rotary_half), pinned,
                  scores);
    const size_t count = scores.size();
    Score<Stored>(call, head, Rotated(call, query, recent_angles), recent, scores);
    sum += FirstPart(scores, count);
  }
  return sum / call.heads;
}

}  // namespace

double PinnedAttention(Element element, const AttentionCall& call, const AttentionTile& tile,
                       int64_t row) {
  return element == Element::kFloat32 ? MeanOverHeads<float>(call, tile, row)
                                      : MeanOverHeads<uint16_t>(call, tile, row);
}

}  // namespace sinkstream
