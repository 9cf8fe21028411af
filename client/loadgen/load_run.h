// LoadRun: carries a workload out against a server and measures it, once.
//
// Threads: Run() is called by one, which decides and measures everything; its streams tell it
// on theirs what comes. Interrupt() may be called by any. Times are of the clock.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/loadgen/clock.h"
#include "client/loadgen/conversation.h"
#include "client/loadgen/event_loop.h"
#include "client/loadgen/load_stream.h"
#include "client/loadgen/measurement.h"

namespace sinkstream::loadgen {

class LoadRun {
 public:
  struct Patience {
    // For turns that were due within the window, after its end.
    absl::Duration turns = absl::Seconds(60);
    // For the end of a stream after `close`.
    absl::Duration close = absl::Seconds(5);
    // The same, once the run was interrupted or the server is gone.
    absl::Duration halt = absl::Seconds(1);
  };
  // Called at the start and about every `kProgressInterval` from then on, on Run()'s thread.
  using ProgressFunction = std::function<void(const LoadRun&)>;
  static constexpr absl::Duration kProgressInterval = absl::Milliseconds(250);

  // All that is referred to outlives this, and what `connect` refers to.
  LoadRun(Clock& clock, ConnectFunction connect, const Traffic& traffic, Measurement& measurement,
          const Patience& patience);
  ~LoadRun();

  // Until the workload is carried out. UNAVAILABLE: the server has gone away; CANCELLED:
  // interrupted. What was measured until then is in the measurement, whose window is closed.
  absl::Status Run(const ProgressFunction& on_progress);

  // Run() ends soon.
  void Interrupt();

  // How much of the workload is done, failed turns too, in [0, 1].
  double Done(absl::Time now) const;
  // Sessions at this moment, closing ones left out.
  int64_t live_sessions() const;
  const Measurement& measurement() const { return measurement_; }

 private:
  struct User {
    std::unique_ptr<Conversation> conversation;
    std::unique_ptr<UserStream> stream;
    // When the next answer is asked for, by one who reads by hand; nothing: it is asked for.
    std::optional<absl::Time> read_at;
  };

  void Start();
  void PlanSession(absl::Time due);
  void BeginSession(absl::Time due);
  void Apply(int64_t id, Steps steps);
  void Connect(int64_t id, User& user);
  void OnResponse(int64_t id, const v1::ConverseResponse& response, absl::Time now);
  void OnStreamEnd(int64_t id, const absl::Status& status);
  void Replace(const Conversation& ended);
  void OpenGate();
  void WindDown();
  void GiveUp(bool unfinished);
  void Halt(const absl::Status& why);
  void Read(User& user);
  void Drop(User& user);
  void DropLater(int64_t id, absl::Duration patience);
  void StopWhenDone();
  void ShowProgress();

  bool MoreToCome() const;
  bool Timed() const { return traffic_.workload.duration > absl::ZeroDuration(); }
  User* Find(int64_t id);

  Clock& clock_;
  const ConnectFunction connect_;
  const Traffic& traffic_;
  Measurement& measurement_;
  const Patience patience_;
  ProgressFunction on_progress_;
  EventLoop loop_;
  ArrivalSchedule arrivals_;
  absl::Time start_;
  std::map<int64_t, User> users_;  // those whose stream has not ended
  int64_t sessions_begun_ = 0;
  int64_t waiting_to_begin_ = 0;
  bool gate_open_ = false;
  bool winding_down_ = false;
  bool halted_ = false;
  absl::Status status_;
};

}  // namespace sinkstream::loadgen
