// StepSampler: what follows a step's rows in the replies of all its sessions, sampled on the
// model's threads. A session is one thread's at a time, and nothing but its own history and
// sequence is touched, so the tokens are the same on any number of threads.
//
// A session's rows are its next tokens and perhaps guesses at those behind them
// (engine/session/speculation.h). Each token is drawn from its own row with the penalties and the
// random number of its place in the reply; as long as it is what was guessed next, the row of that
// guess draws the one after it. So a guess decides how many tokens a step gives, never which.
// Engine thread only.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "engine/clock.h"
#include "engine/model.h"
#include "engine/sampling/sampler.h"
#include "engine/session/session.h"
#include "engine/text/chat_format.h"
#include "engine/types.h"

namespace sinkstream {

// A turn, first in its session, whose rows have logits.
struct ReplyStep {
  Session* session = nullptr;
  int32_t rows = 0;           // of the step
  int32_t guesses = 0;        // of these, the last
  bool ends_prefill = false;  // they are the rest of the prompt
  StepLogits given;           // by the model, of the last 1 + guesses rows

  // Set by Run:
  int32_t accepted = 0;  // guesses that were right: the rows behind them do not count
  // The next tokens, each as its own event: 1 + accepted, but the last where `status` is not OK.
  std::vector<Delta> deltas;
  std::optional<FinishReason> reason;  // the last of them ends the reply
  absl::Status status;                 // INTERNAL: logits that are not finite
};

class StepSampler {
 public:
  // All outlive this.
  StepSampler(Model& model, const ChatFormat& format, const Clock& clock);

  // Takes what was fed into each session's history and sequence, and samples.
  void Run(absl::Span<ReplyStep> steps);

 private:
  void SampleReply(ReplyStep& step, Sampler& sampler) const;
  // Of the row behind the guesses accepted so far. Absent where the reply ends or fails.
  std::optional<TokenId> SampleRow(ReplyStep& step, Sampler& sampler) const;

  Model& model_;
  const ChatFormat& format_;
  const Clock& clock_;
  const size_t vocab_size_;
  std::vector<Sampler> samplers_;  // one for each of the model's threads
};

}  // namespace sinkstream
