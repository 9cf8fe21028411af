#include "client/loadgen/measurement.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace sinkstream::loadgen {

void Measurement::Open(absl::Time begin, absl::Time end) {
  begin_ = begin;
  end_ = end;
}

void Measurement::CloseAt(absl::Time end) { end_ = std::min(end_, end); }

void Measurement::SessionStarted(absl::Time due, absl::Time now) { session_start_.Add(now - due); }

void Measurement::TokensArrived(absl::Time now, int64_t count) {
  if (IsOpen(now)) tokens_ += count;
}

void Measurement::FirstToken(absl::Time due, absl::Time now) {
  if (IsOpen(due)) ttft_.Add(now - due);
}

void Measurement::Gap(absl::Time due, absl::Duration gap, int64_t tokens, GapCount& of_turn) {
  const absl::Duration each = gap / tokens;
  of_turn.all += tokens;
  if (objective_.itl && each > *objective_.itl) of_turn.over_objective += tokens;
  if (IsOpen(due)) itl_.Add(each, tokens);
}

void Measurement::TurnFinished(const FinishedTurn& turn) {
  if (IsOpen(turn.done)) ++turns_in_window_;
  if (!IsOpen(turn.due)) return;
  const absl::Duration took = turn.done - turn.due;
  turn_.Add(took);
  queue_.Add(turn.queued);
  if (turn.tokens > 0 && took > absl::ZeroDuration()) {
    turn_rate_.Add(
        std::llround(1000 * static_cast<double>(turn.tokens) / absl::ToDoubleSeconds(took)));
  }
  ++judged_turns_;
  if (!IsGood(turn)) return;
  ++good_turns_;
  if (!IsOpen(turn.done)) return;
  ++good_turns_in_window_;
  good_tokens_in_window_ += turn.tokens;
}

bool Measurement::IsGood(const FinishedTurn& turn) const {
  if (objective_.ttft && turn.first_token - turn.due > *objective_.ttft) return false;
  return turn.gaps.over_objective * 100 <= turn.gaps.all;
}

void Measurement::TurnBent(absl::Time due) {
  if (IsOpen(due)) ++bent_turns_;
}

void Measurement::HadNoTurn(absl::Time session_due) {
  if (IsOpen(session_due)) ++sessions_without_turn_;
}

void Measurement::Failed(absl::Time due, const absl::Status& status) {
  Errors& errors = errors_[status.code()];
  if (errors.count++ == 0) errors.first_message = std::string(status.message());
  if (IsOpen(due)) ++judged_turns_;
}

double Measurement::Seconds(absl::Time now) const {
  return std::max(0.0, absl::ToDoubleSeconds(std::min(now, end_) - begin_));
}

double Measurement::TokensPerSecond(absl::Time now) const {
  const double seconds = Seconds(now);
  return seconds > 0 ? static_cast<double>(tokens_) / seconds
                     : std::numeric_limits<double>::quiet_NaN();
}

int64_t Measurement::errors() const {
  int64_t all = 0;
  for (const auto& [code, errors] : errors_) all += errors.count;
  return all;
}

}  // namespace sinkstream::loadgen
