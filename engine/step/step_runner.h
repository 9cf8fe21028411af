// StepRunner: runs a model step over the sessions that can go on: plan (step_planner.h), guess
// (step_guesser.h), Model::Step over every planned session at once, sample (step_sampler.h), and
// then move each session on: its window, its first request, the events to its stream. A request
// that is done or has failed ends here, and the next one of its session starts; no stream and no
// session does, which is for the caller (engine/scheduler.h). A step that the model gives an error
// for fails the first request of every planned session with it; logits that are not finite fail the
// request whose they are. Steps that only decode take no memory from the heap
// (tests/engine/step_allocation_test.cc). No sleep, no lock, no clock of its own. Engine thread
// only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "engine/clock.h"
#include "engine/model.h"
#include "engine/observer.h"
#include "engine/options.h"
#include "engine/sampling/distribution_budget.h"
#include "engine/session/request_queue.h"
#include "engine/session/session.h"
#include "engine/session/session_pool.h"
#include "engine/step/quality_probe.h"
#include "engine/step/step_guesser.h"
#include "engine/step/step_planner.h"
#include "engine/step/step_sampler.h"
#include "engine/text/chat_format.h"

namespace sinkstream {

class StepRunner {
 public:
  // What it works with; all outlive it.
  struct Parts {
    Model& model;
    const ChatFormat& format;
    EngineObserver& observer;
    const Clock& clock;
    SessionPool& pool;    // whose sessions and blocks it moves
    RequestQueue& queue;  // ends requests and starts the next ones
  };

  // `options` have been checked against the model and outlive this. `on_room`: called by any
  // thread, and after this object has gone, where told distributions that nobody had read kept a
  // session from going on, and have been read.
  StepRunner(const EngineOptions& options, Parts parts, std::function<void()> on_room);

  // One step. The sessions that it planned, each once, whose requests may be done: valid until the
  // next call, or until the session is closed. Empty, and nothing done, if no session can go on.
  // The observer's OnStep comes last.
  absl::Span<Session* const> Run();

  // Places given in plans so far: Session::planned_at of the latest session planned.
  uint64_t planned() const { return planned_; }
  // Of what its steps have told.
  const DistributionBudget& distributions() const { return distributions_; }

 private:
  // A planned session's share of the step.
  struct Share {
    Session* session = nullptr;
    int32_t rows = 0;
    StepLogits given;            // by the model, of the last rows, whose logits were asked for
    ReplyStep* reply = nullptr;  // of replies_; null: its rows are read without a reply
  };

  // Of a step, in this order.
  void ListCandidates();
  void PlanRows();
  void BuildBatch();
  // What the model made of the batch: `stats` counts it. `looked_at`: of the plan, if any.
  void ApplyLogits(const StepLogits& given, std::optional<int32_t> looked_at, StepStats& stats);

  std::optional<StepCandidate> CandidateOf(Session& session, size_t index);
  // Of a session that begins with a system prompt: it stands behind that once another session has
  // read it. False: another reads it now, and this one waits.
  bool SettlePrefix(Session& session);
  // Sets shares_, and gives the replies that get tokens.
  absl::Span<ReplyStep> ListShares(StepLogits given);
  void Look(const Share& share, StepStats& stats) const;
  void ApplyReply(ReplyStep& reply, StepStats& stats);
  static void PushDelta(ReplyStep& reply, int32_t index);
  void ReadRows(const Share& share, StepStats& stats);
  void AdvanceWindow(Session& session, int32_t rows, StepStats& stats);
  void AfterRows(Session& session, int32_t rows);
  absl::Status TellScores(const Share& share, StepStats& stats);
  void FailUnread(Session& session, const absl::Status& status);

  const EngineOptions& options_;
  Parts parts_;
  StepGuesser guesser_;
  StepSampler sampler_;
  DistributionBudget distributions_;
  QualityProbe probe_;
  // Of the step at hand; kept for their memory.
  std::vector<StepCandidate> candidates_;  // index: of the pool's sessions
  std::vector<PlannedRows> plan_;
  std::vector<Session*> sessions_;  // of each of plan_
  StepBatch batch_;                 // of each of plan_
  std::vector<Share> shares_;       // of each of plan_
  std::vector<ReplyStep> replies_;  // the first ones are of this step
  uint64_t planned_ = 0;
};

}  // namespace sinkstream
