// Conversation: one user of a load as a state machine. It is told what happens and when, and says
// what to do next; it knows no stream, no clock and no thread.
//
//   kOpening -> kReading -> kThinking <-> kReplying -> kClosing -> kEnded
//   kReplying -> kAtGate -> kThinking     behind the warm-up turns, if there is a gate
//   kReplying -> kDropped -> kOpening -> kThinking     the session is attached again
//
// kReading is skipped without a history, kThinking where a turn is due at once; without warm-up
// turns kAtGate comes before the first turn. Any state may go to kClosing, and to kEnded when the
// stream ends.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/loadgen/measurement.h"
#include "client/loadgen/workload.h"
#include "sinkstream/v1/chat.pb.h"

namespace sinkstream::loadgen {

// What all conversations of a load have in common.
struct Traffic {
  Workload workload;
  v1::Open open;  // of a new session
  // What they say: turns are pieces of it, round its end. At least one token.
  std::vector<int32_t> text;
  // Most tokens of one append; no more than the server takes.
  int64_t append_tokens = 8192;
};

// What a conversation asks for; of several, in their order.
struct Connect {};  // begin a stream
struct Send {
  v1::ConverseRequest request;
};
struct HalfClose {};  // nothing more is sent
struct Drop {};       // break the stream
struct Wake {         // call OnWake() then
  absl::Time at;
};
using Step = std::variant<Connect, Send, HalfClose, Drop, Wake>;
using Steps = std::vector<Step>;

class Conversation {
 public:
  enum class State {
    kOpening,
    kReading,
    kAtGate,
    kThinking,
    kReplying,
    kDropped,
    kClosing,
    kEnded
  };

  // `traffic` and `measurement` outlive this. `gate`: having had its warm-up turns it waits for
  // PassGate(), and has its turns then.
  Conversation(const Traffic& traffic, Measurement& measurement, int64_t index, bool gate);

  // `due`: when the session was meant to begin.
  Steps Begin(absl::Time due);
  Steps PassGate(absl::Time now);
  Steps OnResponse(const v1::ConverseResponse& response, absl::Time now);
  Steps OnWake(absl::Time now);
  // However it came.
  Steps OnStreamEnd(const absl::Status& status);

  // The window has ended. Turns that were due in it still come to their end; then it closes.
  Steps WindDown();
  // Closes, whatever runs. `unfinished`: what it still waits for has failed thereby.
  Steps GiveUp(bool unfinished);

  State state() const { return state_; }
  // Closing or ended.
  bool Over() const { return state_ >= State::kClosing; }
  bool reads_slowly() const { return script_.reads_slowly(); }
  // The one that runs too; those of the warm-up not.
  int64_t turns_to_come() const;
  // Why it could not go on; OK where it has done what it was meant to, or was told to end.
  const absl::Status& error() const { return error_; }
  // Before anything more is asked of the server in its place: not zero after a failure.
  absl::Duration pause() const { return pause_; }

 private:
  Steps OnOpened(const v1::Opened& opened, absl::Time now);
  Steps OnDelta(const v1::Delta& delta, absl::Time now);
  Steps OnTurnDone(const v1::TurnDone& done, absl::Time now);
  Steps OnFailed(const v1::RequestFailed& failed, absl::Time now);
  Steps ReadOn(absl::Time now);
  Steps GoOn(absl::Time now, absl::Time earliest);
  Steps SendTurn();
  Steps Close();
  // It waits for the server.
  bool Owes() const;
  // Of the turn that runs, or of a session that never started; otherwise the error alone.
  void CountFailure(const absl::Status& status);
  // Of the text, `skip` tokens behind `place`.
  std::vector<int32_t> Piece(double place, int64_t tokens, int64_t skip = 0) const;

  const Traffic& traffic_;
  Measurement& measurement_;
  SessionScript script_;
  const bool has_gate_;
  State state_ = State::kOpening;
  bool gate_passed_ = false;
  bool winding_down_ = false;
  bool first_turn_ = true;  // is still to come
  std::string session_id_;  // empty: not opened yet
  absl::Time session_due_;
  int64_t history_left_ = 0;  // tokens
  int64_t turns_left_ = 0;    // before the gate or after it
  absl::Status error_;
  absl::Duration pause_;

  // The turn that is due or running, or the append.
  uint64_t request_id_ = 0;
  TurnPlan turn_;
  absl::Time due_;
  absl::Time first_token_ = absl::InfiniteFuture();
  absl::Time last_token_;
  absl::Time dropped_at_;
  int64_t tokens_ = 0;
  GapCount gaps_;
  bool cancelled_ = false;
};

}  // namespace sinkstream::loadgen
