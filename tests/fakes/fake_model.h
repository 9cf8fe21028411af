// FakeModel: a model without weights that keeps tokens in its KV blocks instead of keys and values.
// What it says is a function of the tokens that a row sees through its block table, so a wrong
// block, slot, mask or eviction shows as a wrong reply, and a block that holds somebody else's
// token shows as an error. Engine thread; settings before the engine starts, but for those named as
// any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/model.h"
#include "tests/fakes/fake_text.h"

namespace sinkstream {

// The token that follows `visible`, the tokens a row sees in text order (itself last); kNoToken:
// the row's logits are not numbers.
using NextToken = std::function<TokenId(const std::vector<TokenId>& visible)>;

// Printable, of the tokens' order and values alone; never a special token.
TokenId HashOfVisible(const std::vector<TokenId>& visible);

// Turns in small circles of a few letters, and leaves them now and then: guesses at what it says
// are right, wrong and right for a while.
TokenId Rambling(const std::vector<TokenId>& visible);

// Says `words` over and over after each "[S]a:", one byte a token, then [E].
NextToken Saying(std::string words);

class FakeModel : public Model {
 public:
  struct Options {
    int32_t num_blocks = 64;
    int32_t block_tokens = 4;
    int64_t trained_context = 4096;
    NextToken next = HashOfVisible;
    int32_t vocab_size = kFakeVocabSize;  // at least that
    int32_t threads = 1;                  // of ParallelFor
    bool tells_peaks = true;  // rows whose peak alone is wanted get logits that are not numbers
  };
  explicit FakeModel(Options options);

  const ModelSpec& Spec() const override { return spec_; }
  absl::StatusOr<StepLogits> Step(const StepBatch& batch) override;

  // What it tells of a sequence that was looked at.
  static constexpr double kPinnedAttention = 0.25;
  std::optional<double> PinnedAttention() const override { return pinned_attention_; }

  void ParallelFor(int64_t count, absl::FunctionRef<void(int64_t)> body) override;

  void CopyOut(BlockId block, char* to) const override;
  void CopyIn(BlockId block, const char* from) override;

  // Any thread. The next step fails once it has written the tokens of half of its sequences.
  void FailNextStep() { fail_next_ = true; }
  // Any thread. The next step gives logits that are not numbers.
  void GiveNaNNextStep() { nan_next_ = true; }
  // Any thread. Steps so far.
  int64_t steps() const { return steps_; }

  // The token counts of each sequence of each step, in order: what was batched with what.
  const std::vector<std::vector<int32_t>>& step_rows() const { return step_rows_; }
  // Called at the start of each step.
  std::function<void()> on_step;

 private:
  struct Slot {
    int64_t position = -1;
    TokenId token = -1;
  };
  Slot& At(const StepSequence& sequence, int64_t position);
  absl::StatusOr<std::vector<TokenId>> Visible(const StepSequence& sequence, int64_t row);
  absl::Status Feed(const StepSequence& sequence);
  void AddLogits(TokenId next, bool peak_alone);

  const Options options_;
  ModelSpec spec_;
  std::vector<Slot> slots_;  // [num_blocks][block_tokens]
  std::vector<float> logits_;
  std::vector<Peak> peaks_;
  std::vector<std::vector<int32_t>> step_rows_;
  std::optional<double> pinned_attention_;
  std::atomic<bool> fail_next_{false};
  std::atomic<bool> nan_next_{false};
  std::atomic<int64_t> steps_{0};
};

}  // namespace sinkstream
