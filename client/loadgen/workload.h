// Workload: what the users of a load do, and when. All of it is drawn from the seed, whatever the
// server answers: the n-th session does the same under a slow server as under a fast one. But how
// many sessions a timed closed loop comes to, and when, is up to the server. Pure.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/time/time.h"
#include "client/loadgen/random.h"

namespace sinkstream::loadgen {

struct Workload {
  // Closed loop: so many sessions at a time. Not used where there is a rate.
  int64_t sessions = 8;
  // Open loop: sessions that arrive a second, as a Poisson process; 0: closed loop.
  double rate = 0;
  int64_t turns = 4;  // of a session, the warm-up aside
  // How long is measured; zero: until each session of a closed loop has had its turns.
  absl::Duration duration;
  // Comes before, and is not measured: a time where there is a duration, turns otherwise.
  absl::Duration warmup;
  int64_t warmup_turns = 1;
  // Over so long the sessions of a closed loop begin one by one, and the rate of an open one rises.
  absl::Duration ramp;

  Distribution think_ms = Constant(0);        // from a reply's end to the next turn
  Distribution prompt_tokens = Constant(16);  // of a turn
  Distribution reply_tokens = Constant(128);  // of a turn
  Distribution history_tokens = Constant(0);  // read before the first turn of a long session
  double long_share = 1;                      // of sessions that have a history
  double slow_share = 0;                      // of sessions that read slowly
  absl::Duration read_delay = absl::Milliseconds(200);  // of those, after each delta
  double cancel_share = 0;  // of turns that are cancelled in their reply
  double drop_share =
      0;  // of turns in whose reply the stream is dropped; the session is re-attached
  int64_t seed = 1;

  bool OpenLoop() const { return rate > 0; }
};

struct TurnPlan {
  absl::Duration think;
  int64_t prompt_tokens = 0;
  double prompt_place = 0;  // in the text, in [0, 1)
  int64_t reply_tokens = 0;
  uint64_t seed = 0;
  // After so many tokens of the reply, at least one and fewer than it has.
  std::optional<int64_t> cancel_after;
  std::optional<int64_t> drop_after;
};

// What one user does, whatever happens to the others.
class SessionScript {
 public:
  // `index`: which session of the load this is, from 0 on. `workload` outlives this.
  SessionScript(const Workload& workload, int64_t index);

  int64_t history_tokens() const { return history_tokens_; }
  double history_place() const { return history_place_; }  // as TurnPlan::prompt_place
  bool reads_slowly() const { return reads_slowly_; }

  TurnPlan NextTurn();

 private:
  const Workload& workload_;
  Random random_;
  int64_t history_tokens_ = 0;
  double history_place_ = 0;
  bool reads_slowly_ = false;
};

// When the sessions of an open loop arrive: a Poisson process whose rate, sessions a second, rises
// from 0 during the ramp.
class ArrivalSchedule {
 public:
  explicit ArrivalSchedule(const Workload& workload);

  // Of the next session, from the start on; rising.
  absl::Duration Next();

 private:
  const double rate_;
  const double ramp_;  // seconds
  Random random_;
  double expected_ = 0;  // arrivals up to the last one, by the rate
};

// When the `index`-th session of a closed loop begins, from the start on.
absl::Duration StartInRamp(const Workload& workload, int64_t index);

}  // namespace sinkstream::loadgen
