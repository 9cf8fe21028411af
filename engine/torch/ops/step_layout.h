// StepLayout: which row of a step belongs where, worked out once and used by every layer. No torch.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/torch/ops/kernels.h"

namespace sinkstream {

// One line of StepContext's `sequences` (docs/model_artifact.md); the fields are those of
// StepSequence (engine/model.h).
struct SequenceLine {
  int64_t start = 0;
  int64_t rows = 0;
  int64_t sinks = 0;
  int64_t window = 0;
  int64_t pinned_begin = 0;
  int64_t recent_begin = 0;
  int64_t recent_count = 0;
  int64_t first_recent_block = 0;
  int64_t rotary_offset = 0;
};
inline constexpr int kSequenceFields = 9;

// Positions whose angles a row's query and key are rotated by.
struct RowAngles {
  int64_t recent = 0;  // against recent tokens, and for the row's own key
  int64_t pinned = 0;  // against pinned tokens: the place in the cache, n - e(n)
};

struct StepLayout {
  int64_t rows = 0;
  std::vector<kernels::KvSlot> slots;         // [rows]
  std::vector<RowAngles> angles;              // [rows]
  std::vector<kernels::AttentionTile> tiles;  // they point into `blocks`
};

// INVALID_ARGUMENT naming the sequence and the field if a number is out of range, a block does not
// exist or the blocks do not cover what the rows read and write. `blocks` must outlive the result.
absl::StatusOr<StepLayout> LayOut(absl::Span<const SequenceLine> sequences,
                                  absl::Span<const int32_t> blocks, int64_t num_blocks);

}  // namespace sinkstream
