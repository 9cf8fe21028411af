#include "engine/torch/ops/step_layout.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace sinkstream {
namespace {

using kernels::kBlockTokens;

// Low enough that a small chunk of a prompt gives work to every thread: each tile is one unit of
// work for each kv head. Its keys and values come from cache for all its rows but the first ones.
constexpr int64_t kTileRows = 8;
constexpr int64_t kMostRows = int64_t{1} << 24;
constexpr int64_t kLargest = int64_t{1}
                             << 48;  // of a position or a window: sums stay far from overflow

int64_t BlocksFor(int64_t tokens) { return (tokens + kBlockTokens - 1) / kBlockTokens; }

int64_t OldestRecent(const SequenceLine& line, int64_t position) {
  return std::max(line.sinks, position - line.window + 1);
}

// What is wrong with a line; null if nothing.
const char* Problem(const SequenceLine& line, int64_t blocks) {
  if (line.start < 0 || line.start > kLargest) return "start is out of range";
  if (line.rows < 1 || line.rows > kMostRows) return "rows is out of range";
  if (line.sinks < 0 || line.sinks > kLargest) return "sinks is out of range";
  if (line.window < 1 || line.window > kLargest) return "window is out of range";
  if (line.rotary_offset < -kLargest || line.rotary_offset > kLargest) {
    return "rotary_offset is out of range";
  }
  const int64_t end = line.start + line.rows;
  const int64_t pinned = BlocksFor(std::min(line.sinks, end));
  if (line.pinned_begin < 0 || line.pinned_begin > blocks - pinned)
    return "pinned blocks are missing";
  if (line.recent_count < 0 || line.recent_count > blocks || line.recent_begin < 0 ||
      line.recent_begin > blocks - line.recent_count) {
    return "recent blocks lie outside the block list";
  }
  if (end <= line.sinks) return nullptr;
  const int64_t first =
      (OldestRecent(line, std::max(line.start, line.sinks)) - line.sinks) / kBlockTokens;
  const int64_t last = (end - 1 - line.sinks) / kBlockTokens;
  if (line.first_recent_block < 0 || line.first_recent_block > first ||
      line.first_recent_block > kLargest || line.first_recent_block + line.recent_count <= last) {
    return "recent blocks do not cover the rows";
  }
  return nullptr;
}

void AddRows(const SequenceLine& line, const int32_t* blocks, StepLayout& layout) {
  for (int64_t n = line.start; n < line.start + line.rows; ++n) {
    const bool pinned = n < line.sinks;
    const int64_t token = pinned ? n : n - line.sinks;
    const int64_t block = token / kBlockTokens;
    const int64_t at =
        pinned ? line.pinned_begin + block : line.recent_begin + block - line.first_recent_block;
    layout.slots.push_back({blocks[at], static_cast<int32_t>(token % kBlockTokens)});
    const int64_t evicted = std::max<int64_t>(0, n - line.window + 1 - line.sinks);
    layout.angles.push_back({pinned ? n : n + line.rotary_offset, n - evicted});
  }
}

kernels::AttentionTile TileOf(const SequenceLine& line, const int32_t* blocks, int64_t first,
                              int64_t rows) {
  const int64_t position = line.start + first;
  const int64_t end = position + rows;
  kernels::AttentionTile tile = {};
  tile.rows = rows;
  tile.position = position;
  tile.sinks = line.sinks;
  tile.window = line.window;
  tile.pinned = blocks + line.pinned_begin;
  tile.pinned_blocks = BlocksFor(std::min(line.sinks, end));
  tile.recent_position = line.sinks;
  if (end <= line.sinks) return tile;
  const int64_t oldest = (OldestRecent(line, position) - line.sinks) / kBlockTokens;
  tile.recent = blocks + line.recent_begin + oldest - line.first_recent_block;
  tile.recent_blocks = (end - 1 - line.sinks) / kBlockTokens - oldest + 1;
  tile.recent_position = line.sinks + oldest * kBlockTokens;
  return tile;
}

}  // namespace

absl::StatusOr<StepLayout> LayOut(absl::Span<const SequenceLine> sequences,
                                  absl::Span<const int32_t> blocks, int64_t num_blocks) {
  for (const int32_t block : blocks) {
    if (block < 0 || block >= num_blocks) {
      return absl::InvalidArgumentError(absl::StrCat("block ", block, " of ", num_blocks));
    }
  }
  StepLayout layout;
  for (size_t i = 0; i < sequences.size(); ++i) {
    const SequenceLine& line = sequences[i];
    if (const char* problem = Problem(line, static_cast<int64_t>(blocks.size()))) {
      return absl::InvalidArgumentError(absl::StrCat("sequence ", i, ": ", problem));
    }
    AddRows(line, blocks.data(), layout);
    for (int64_t first = 0; first < line.rows; first += kTileRows) {
      layout.tiles.push_back(
          TileOf(line, blocks.data(), first, std::min(kTileRows, line.rows - first)));
      layout.tiles.back().row = layout.rows + first;
    }
    layout.rows += line.rows;
  }
  return layout;
}

}  // namespace sinkstream
