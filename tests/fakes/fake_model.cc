#include "tests/fakes/fake_model.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"

namespace sinkstream {
namespace {

constexpr float kHighest = 10;

}  // namespace

TokenId HashOfVisible(const std::vector<TokenId>& visible) {
  uint64_t hash = 14695981039346656037ULL;  // FNV-1a
  for (const TokenId token : visible)
    hash = (hash ^ static_cast<uint64_t>(token)) * 1099511628211ULL;
  return static_cast<TokenId>('a' + (hash >> 33) % 26);
}

TokenId Rambling(const std::vector<TokenId>& visible) {
  const TokenId hash = HashOfVisible(visible);
  if (hash < 'e') return hash;
  const TokenId before = visible.size() > 1 ? visible[visible.size() - 2] : 0;
  return 'a' + (3 * before + visible.back()) % 5;
}

NextToken Saying(std::string words) {
  return [words](const std::vector<TokenId>& visible) -> TokenId {
    const std::string text = Spell(visible);
    const auto start = text.rfind("[S]a:");
    if (start == std::string::npos) return kEndToken;
    const size_t said = text.size() - start - 5;
    return said < words.size() ? static_cast<unsigned char>(words[said]) : kEndToken;
  };
}

FakeModel::FakeModel(Options options) : options_(std::move(options)) {
  spec_.name = "fake";
  spec_.architecture = "fake";
  spec_.weight_dtype = "float32";
  spec_.kv_dtype = "float32";
  spec_.isa = "portable";
  spec_.threads = options_.threads;
  spec_.vocab_size = options_.vocab_size;
  spec_.trained_context = options_.trained_context;
  spec_.block_tokens = options_.block_tokens;
  spec_.num_blocks = options_.num_blocks;
  spec_.block_bytes = options_.block_tokens * 100;
  slots_.resize(options_.num_blocks * options_.block_tokens);
}

FakeModel::Slot& FakeModel::At(const StepSequence& sequence, int64_t position) {
  const int64_t size = options_.block_tokens;
  if (position < sequence.sinks) {
    return slots_[sequence.pinned_blocks.at(position / size) * size + position % size];
  }
  const int64_t recent = position - sequence.sinks;
  const BlockId block = sequence.recent_blocks.at(recent / size - sequence.first_recent_block);
  return slots_[block * size + recent % size];
}

absl::StatusOr<std::vector<TokenId>> FakeModel::Visible(const StepSequence& sequence, int64_t row) {
  std::vector<TokenId> visible;
  const int64_t first_recent = std::max<int64_t>(sequence.sinks, row - sequence.window + 1);
  for (int64_t position = 0; position <= row; ++position) {
    if (position >= sequence.sinks && position < first_recent) {
      position = first_recent;
    }
    const Slot& slot = At(sequence, position);
    if (slot.position != position) {
      return absl::InternalError(
          absl::StrCat("the slot of position ", position, " holds position ", slot.position));
    }
    visible.push_back(slot.token);
  }
  return visible;
}

void FakeModel::CopyOut(BlockId block, char* to) const {
  const size_t size = options_.block_tokens * sizeof(Slot);
  std::memcpy(to, &slots_[block * options_.block_tokens], size);
}

void FakeModel::CopyIn(BlockId block, const char* from) {
  const size_t size = options_.block_tokens * sizeof(Slot);
  std::memcpy(&slots_[block * options_.block_tokens], from, size);
}

void FakeModel::ParallelFor(int64_t count, absl::FunctionRef<void(int64_t)> body) {
  if (options_.threads == 1) return Model::ParallelFor(count, body);
  std::vector<std::thread> threads;
  for (int64_t i = 0; i < count; ++i) threads.emplace_back([i, body] { body(i); });
  for (auto& thread : threads) thread.join();
}

void FakeModel::AddLogits(TokenId next, bool peak_alone) {
  constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
  if (options_.tells_peaks) peaks_.push_back({next, next == kNoToken ? kNaN : kHighest});
  if (next == kNoToken || (options_.tells_peaks && peak_alone)) {
    logits_.resize(logits_.size() + options_.vocab_size, kNaN);
    return;
  }
  for (TokenId token = 0; token < options_.vocab_size; ++token) {
    logits_.push_back(token == next ? kHighest : -static_cast<float>(token % 7));
  }
}

// Writes every token, then looks at what each row sees, whether its logits are wanted or not.
absl::Status FakeModel::Feed(const StepSequence& sequence) {
  const auto count = static_cast<int64_t>(sequence.tokens.size());
  for (int64_t i = 0; i < count; ++i) {
    At(sequence, sequence.start + i) = {sequence.start + i, sequence.tokens[i]};
  }
  for (int64_t i = 0; i < count; ++i) {
    const auto visible = Visible(sequence, sequence.start + i);
    if (!visible.ok()) return visible.status();
    if (i >= count - sequence.logit_rows) AddLogits(options_.next(*visible), sequence.peaks_alone);
  }
  return absl::OkStatus();
}

absl::StatusOr<StepLogits> FakeModel::Step(const StepBatch& batch) {
  if (on_step) on_step();
  ++steps_;
  const bool fails = fail_next_.exchange(false);
  pinned_attention_.reset();
  if (batch.probed_sequence >= 0) pinned_attention_ = kPinnedAttention;
  logits_.clear();
  peaks_.clear();
  auto& rows = step_rows_.emplace_back();
  for (const auto& sequence : batch.sequences) {
    if (fails && rows.size() == batch.sequences.size() / 2) {
      return absl::InternalError("the fake model fails as told");
    }
    rows.push_back(static_cast<int32_t>(sequence.tokens.size()));
    if (auto status = Feed(sequence); !status.ok()) return status;
  }
  if (nan_next_.exchange(false)) {
    constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
    std::fill(logits_.begin(), logits_.end(), kNaN);
    std::fill(peaks_.begin(), peaks_.end(), Peak{0, kNaN});
  }
  return StepLogits{logits_, peaks_};
}

}  // namespace sinkstream
