// Scheduler: the engine thread's work without the thread. It carries out commands, has steps run
// (engine/step/step_runner.h), and begins and ends sessions and their streams. Through its
// SessionPool it alone owns sessions. No sleep, no lock, no clock of its own, so tests drive it by
// hand (tests/engine/scheduler_test.cc). Engine thread only.
#pragma once

#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "engine/clock.h"
#include "engine/commands.h"
#include "engine/model.h"
#include "engine/observer.h"
#include "engine/options.h"
#include "engine/session/admission.h"
#include "engine/session/request_queue.h"
#include "engine/session/session_parking.h"
#include "engine/session/session_pool.h"
#include "engine/step/step_runner.h"
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

  // One model step over everything that can go on, and then the end of the streams that are done.
  // False, and no step, if nothing can go on.
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

  // The streams of those that are half closed and have no request left.
  void EndDoneStreams(absl::Span<Session* const> sessions);

  const EngineOptions options_;
  Parts parts_;
  SessionPool pool_;
  SessionParking parking_;
  Admission admission_;
  RequestQueue queue_;
  StepRunner runner_;
  bool draining_ = false;
};

}  // namespace sinkstream
