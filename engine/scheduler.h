// Scheduler: the engine thread's work without the thread. It carries out commands and runs model
// steps: plan (engine/step/step_planner.h), Model::Step over every planned session at once, sample,
// emit. It alone owns sessions. No sleep, no lock, no clock of its own, so tests drive it by hand
// (tests/engine/scheduler_test.cc). Engine thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "engine/clock.h"
#include "engine/commands.h"
#include "engine/model.h"
#include "engine/observer.h"
#include "engine/options.h"
#include "engine/sampling/distribution_budget.h"
#include "engine/session/admission.h"
#include "engine/session/request_queue.h"
#include "engine/session/session_parking.h"
#include "engine/session/session_pool.h"
#include "engine/step/quality_probe.h"
#include "engine/step/step_guesser.h"
#include "engine/step/step_planner.h"
#include "engine/step/step_sampler.h"
#include "engine/text/chat_format.h"
#include "engine/text/tokenizer.h"

namespace sinkstream {

class Scheduler {
 public:
  // What it works with; all outlive it. `random`: uniform 64-bit numbers fit for secrets.
  struct Parts {
    Model& model;
    const Tokenizer& tokenizer;
    const ChatFormat& format;
    EngineObserver& observer;
    const Clock& clock;
    std::function<uint64_t()> random;
    BlockPark* park = nullptr;  // null: idle sessions stay in memory
    // Called by any thread, and after the scheduler has gone: RunStep may be able to go on.
    std::function<void()> on_room = [] {};
  };

  // `options` have been checked against the model (Engine::Create).
  Scheduler(const EngineOptions& options, Parts parts);

  void Handle(Command command);

  // Ends sessions whose idle timeout has passed.
  void CloseExpired();

  // One model step over everything that can go on. False, and nothing done, if nothing can.
  bool RunStep();

  // Until something is due without a command; InfiniteDuration if nothing is.
  absl::Duration Patience() const;

  // Ends every session; attached streams are told `status`.
  void Shutdown(const absl::Status& status);

  PoolStats Stats() const;
  // Tells the observer.
  void ReportPool() { parts_.observer.OnPool(Stats()); }

 private:
  void Handle(OpenCommand& command);
  void Handle(RequestCommand& command);
  void Handle(CancelCommand& command);
  void Handle(CloseCommand& command);
  void Handle(HalfCloseCommand& command);
  void Handle(DetachCommand& command);
  void Handle(DrainCommand& command);
  void Handle(ParkCommand& command);

  // Carries it out, or puts it off if its stream waits for its session.
  void Dispatch(Command& command);
  // Answers the streams that can be answered.
  void AttachArrivals();
  void Attach(Session& session, OpenCommand& command);
  void CarryOutLastWill(const Admission::Arrival& arrival);
  void LeaveStream(Session& session, const absl::Status& status);
  void CloseSession(Session& session, CloseReason reason);

  // Of a step, in this order.
  void ListCandidates();
  void PlanRows();
  void BuildBatch();
  // What the model made of the batch: `stats` counts it. `looked_at`: of the plan, if any.
  void ApplyLogits(absl::Span<const float> logits, std::optional<int32_t> looked_at,
                   StepStats& stats);

  std::optional<StepCandidate> CandidateOf(Session& session, size_t index);
  size_t ListReplies(absl::Span<const float> logits);
  void Look(const ReplyStep& reply, StepStats& stats) const;
  void ApplyReply(ReplyStep& reply, StepStats& stats);
  void ReadRows(Session& session, int32_t rows, absl::Span<const float> logits, StepStats& stats);
  void FailAll(const absl::Status& status);
  void FailUnread(Session& session, const absl::Status& status);
  void AdvanceWindow(Session& session, int32_t rows, StepStats& stats);
  void AfterRows(Session& session, int32_t rows);
  absl::Status TellScores(Session& session, int32_t rows, absl::Span<const float> logits,
                          StepStats& stats);
  void EndStreamIfDone(Session& session);

  const EngineOptions options_;
  Parts parts_;
  SessionPool pool_;
  SessionParking parking_;
  Admission admission_;
  RequestQueue queue_;
  StepGuesser guesser_;
  StepSampler sampler_;
  DistributionBudget distributions_;
  QualityProbe probe_;
  // Of the step at hand; kept for their memory.
  std::vector<Session*> sessions_;
  std::vector<StepCandidate> candidates_;  // index: of sessions_
  std::vector<PlannedRows> plan_;
  StepBatch batch_;
  std::vector<ReplyStep> replies_;
  uint64_t planned_ = 0;  // places given in plans so far
  bool draining_ = false;
};

}  // namespace sinkstream
