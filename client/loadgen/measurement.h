// Measurement: what is counted and timed of a load.
//
// A turn is timed from the moment it was due, by the workload, and not from when it could be sent:
// what waits in front of a slow server is part of its latency. It counts if it was due within the
// window that is measured, and in a rate if it was done within it; tokens count if they arrived
// within it. Session starts, re-attachments, errors and the generator's lag always count, those of
// the warm-up too: sessions that warm up by turns all start before the window.
//
// Threads: one.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/loadgen/histogram.h"

namespace sinkstream::loadgen {

// What a turn must keep to be a good one; what is not set is not asked for.
struct Objective {
  std::optional<absl::Duration> ttft;
  std::optional<absl::Duration> itl;  // of 99 % of the turn's gaps
  bool IsSet() const { return ttft || itl; }
};

// The gaps between the tokens of one reply.
struct GapCount {
  int64_t all = 0;
  int64_t over_objective = 0;
};

// A turn that has ended as it should.
struct FinishedTurn {
  absl::Time due;
  absl::Time first_token;  // InfiniteFuture: it had none
  absl::Time done;
  absl::Duration queued;  // as the server tells it
  int64_t tokens = 0;
  GapCount gaps;
};

class Measurement {
 public:
  explicit Measurement(const Objective& objective) : objective_(objective) {}

  // The window, its end not in it. Before Open() there is none.
  void Open(absl::Time begin, absl::Time end = absl::InfiniteFuture());
  void CloseAt(absl::Time end);
  bool IsOpen(absl::Time at) const { return begin_ <= at && at < end_; }
  absl::Time begin() const { return begin_; }
  absl::Time end() const { return end_; }

  void SessionStarted(absl::Time due, absl::Time now);
  void Reattached(absl::Duration took) { reattach_.Add(took); }
  void TokensArrived(absl::Time now, int64_t count);
  void FirstToken(absl::Time due, absl::Time now);
  // `tokens` have come together, `gap` after the one before them: each took a part of it.
  void Gap(absl::Time due, absl::Duration gap, int64_t tokens, GapCount& of_turn);
  void TurnFinished(const FinishedTurn& turn);
  // Of a turn that was cancelled, dropped or read slowly, as planned: it says nothing about how
  // long turns take.
  void TurnBent(absl::Time due);
  // Of a turn, or of a session that could not start.
  void Failed(absl::Time due, const absl::Status& status);
  // A session due within the window was still reading its history at the window's end: it had no
  // turn that counts.
  void HadNoTurn(absl::Time session_due);
  // How late the generator itself was in handling an answer or in sending a turn.
  void Late(absl::Duration lag) { lag_.Add(lag); }

  // From the window's begin to its end, or `now`.
  double Seconds(absl::Time now) const;
  // In all; a second of `Seconds`. NaN where that is 0.
  double TokensPerSecond(absl::Time now) const;

  // In milliseconds, but for turn_rate: tokens a second.
  const Histogram& ttft() const { return ttft_; }
  const Histogram& itl() const { return itl_; }
  const Histogram& turn() const { return turn_; }
  const Histogram& queue() const { return queue_; }
  const Histogram& session_start() const { return session_start_; }
  const Histogram& reattach() const { return reattach_; }
  const Histogram& turn_rate() const { return turn_rate_; }
  const Histogram& lag() const { return lag_; }

  const Objective& objective() const { return objective_; }
  int64_t tokens() const { return tokens_; }
  int64_t sessions() const { return session_start_.count(); }
  int64_t finished_turns() const { return turn_.count(); }
  int64_t bent_turns() const { return bent_turns_; }
  // Of those that finished or failed: kept the objective.
  int64_t good_turns() const { return good_turns_; }
  int64_t judged_turns() const { return judged_turns_; }
  // For rates: finished within the window, whenever they were due.
  int64_t turns_in_window() const { return turns_in_window_; }
  // Kept the objective, due and finished within the window: no more than tokens().
  int64_t good_turns_in_window() const { return good_turns_in_window_; }
  int64_t good_tokens_in_window() const { return good_tokens_in_window_; }
  int64_t errors() const;
  struct Errors {
    int64_t count = 0;
    std::string first_message;

    bool operator==(const Errors&) const = default;
  };
  const std::map<absl::StatusCode, Errors>& errors_by_code() const { return errors_; }
  int64_t sessions_without_turn() const { return sessions_without_turn_; }

 private:
  bool IsGood(const FinishedTurn& turn) const;

  const Objective objective_;
  absl::Time begin_ = absl::InfiniteFuture();
  absl::Time end_ = absl::InfiniteFuture();
  Histogram ttft_, itl_, turn_, queue_, session_start_, reattach_, turn_rate_, lag_;
  int64_t tokens_ = 0;
  int64_t bent_turns_ = 0;
  int64_t good_turns_ = 0;
  int64_t judged_turns_ = 0;
  int64_t turns_in_window_ = 0;
  int64_t good_turns_in_window_ = 0;
  int64_t good_tokens_in_window_ = 0;
  int64_t sessions_without_turn_ = 0;
  std::map<absl::StatusCode, Errors> errors_;
};

}  // namespace sinkstream::loadgen
