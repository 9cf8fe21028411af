// Model: the seam between the engine and whatever computes logits. engine/torch implements it with
// libtorch, tests/fakes with arithmetic. No torch type passes through here.
//
// A model owns a pool of KV blocks, all layers of `block_tokens` tokens each. Which block belongs
// to whom is the engine's business (engine/kv/kv_blocks.h); the model only reads and writes the
// blocks a step names.
//
// Positions (research: StreamingLLM; docs/adr/0003): token n of a stream attends to the pinned
// tokens {0 .. S-1} and to {max(S, n-W+1) .. n}. Recent distances are true text distances; for the
// pinned tokens the query stands at its position inside the cache, n - e(n), with e(n) = max(0,
// n-W+1-S).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/types.h"

namespace sinkstream {

using BlockId = int32_t;

struct ModelSpec {
  std::string name;
  std::string architecture;
  std::string weight_dtype;  // "float32", "bfloat16", "int8", "int4"
  std::string kv_dtype;      // "float32", "bfloat16", "int8"
  std::string isa;  // the kernels chosen at start: "amx", "avx512_bf16", "avx512_vnni", "avx512",
                    // "avx2", "portable"
  int32_t threads = 1;          // that compute a step, the engine thread among them; told at start
  int32_t library_threads = 0;  // beside them, of the library that runs the model (OpenMP)
  int32_t vocab_size = 0;
  int64_t trained_context = 0;  // tokens; sinks + window of a session may not exceed it
  int32_t block_tokens = 16;    // tokens a KV block holds
  int32_t num_blocks = 0;       // blocks in the pool
  int64_t block_bytes = 0;      // of one block, all layers, keys and values
};

// One session's part of a step: `tokens` are fed at text positions start, start+1, ...
struct StepSequence {
  int64_t start = 0;
  absl::Span<const TokenId> tokens;  // not empty
  int32_t sinks = 0;
  int64_t window = 0;
  // Pinned token i lies in pinned_blocks[i / block_tokens], slot i % block_tokens.
  absl::Span<const BlockId> pinned_blocks;
  // Recent token m (m >= sinks) lies in recent_blocks[(m - sinks) / block_tokens -
  // first_recent_block], slot (m - sinks) % block_tokens. Covers every recent token that a row of
  // this step reads or writes.
  absl::Span<const BlockId> recent_blocks;
  int64_t first_recent_block = 0;
  // Added to the angle position of recent tokens and of queries on them. 0 in serving; tests stand
  // at late positions.
  int64_t rotary_offset = 0;
  int32_t logit_rows = 1;    // of its last rows, so many whose logits are wanted
  bool peaks_alone = false;  // of these rows the peak is enough: logits need not be written
};

struct StepBatch {
  std::vector<StepSequence> sequences;
  // Of these, the one whose last row's attention is looked at; -1: none is.
  int32_t probed_sequence = -1;
};

// A row's highest logit; of equals the one of the lowest id. NaN or infinite if the row is
// unusable: some logit is NaN or +infinity, or all are -infinity.
struct Peak {
  TokenId token = 0;
  float logit = 0;
};

// Of the rows whose logits were wanted, in the order of the batch.
struct StepLogits {
  // [rows][vocab_size]. Rows whose peak alone was wanted hold anything if there are peaks, their
  // logits if there are none.
  absl::Span<const float> logits;
  absl::Span<const Peak> peaks;  // [rows], of all of them; or empty: the model does not tell them
};

class Model {
 public:
  virtual ~Model() = default;

  // Constant after construction; any thread.
  virtual const ModelSpec& Spec() const = 0;

  // Feeds every token of `batch`, writes their keys and values into the named blocks, and returns
  // the wanted rows' logits and peaks, valid until the next call. A row's result does not depend on
  // the other rows of the batch, bit for bit. Engine thread only. RESOURCE_EXHAUSTED: the system
  // refuses memory. INTERNAL: the model failed. On an error no position has advanced: the same
  // tokens may be fed again.
  virtual absl::StatusOr<StepLogits> Step(const StepBatch& batch) = 0;

  // What StepBatch::probed_sequence asked the last Step for: the part of its attention that the row
  // paid to the pinned tokens, in [0, 1], the mean over the heads of one layer; the layers take
  // turns. Absent if it was not asked, or if it is not a number. Engine thread only.
  virtual std::optional<double> PinnedAttention() const { return std::nullopt; }

  // Calls body(0) .. body(count - 1), on as many threads at once as Spec().threads says at most,
  // and returns when all are done. `body` throws nothing. Engine thread only; not while a Step
  // runs. Default: one after the other.
  virtual void ParallelFor(int64_t count, absl::FunctionRef<void(int64_t)> body) {
    for (int64_t i = 0; i < count; ++i) body(i);
  }

  // The contents of a block, Spec().block_bytes, out of the pool and back, bit for bit. Any thread,
  // also during a Step that does not name the block.
  virtual void CopyOut(BlockId block, char* to) const = 0;
  virtual void CopyIn(BlockId block, const char* from) = 0;
};

}  // namespace sinkstream
