#include "client/loadgen/workload.h"

#include <cmath>

namespace sinkstream::loadgen {
namespace {

// Streams of random numbers: sessions have those from 0 on.
constexpr uint64_t kArrivals = UINT64_MAX;

}  // namespace

SessionScript::SessionScript(const Workload& workload, int64_t index)
    : workload_(workload),
      random_(static_cast<uint64_t>(workload.seed), static_cast<uint64_t>(index)) {
  const bool is_long = random_.Chance(workload.long_share);
  history_tokens_ = is_long ? workload.history_tokens.Draw(random_) : 0;
  history_place_ = random_.Uniform();
  reads_slowly_ = random_.Chance(workload.slow_share);
}

TurnPlan SessionScript::NextTurn() {
  TurnPlan turn;
  turn.think = absl::Milliseconds(workload_.think_ms.Draw(random_));
  turn.prompt_tokens = workload_.prompt_tokens.Draw(random_);
  turn.prompt_place = random_.Uniform();
  turn.reply_tokens = workload_.reply_tokens.Draw(random_);
  turn.seed = static_cast<uint64_t>(random_.Between(0, INT32_MAX));
  const double fate = random_.Uniform();
  if (turn.reply_tokens < 2) return turn;  // over before anything can happen to it
  const int64_t after = random_.Between(1, turn.reply_tokens - 1);
  if (fate < workload_.cancel_share) {
    turn.cancel_after = after;
  } else if (fate < workload_.cancel_share + workload_.drop_share) {
    turn.drop_after = after;
  }
  return turn;
}

ArrivalSchedule::ArrivalSchedule(const Workload& workload)
    : rate_(workload.rate),
      ramp_(absl::ToDoubleSeconds(workload.ramp)),
      random_(static_cast<uint64_t>(workload.seed), kArrivals) {}

absl::Duration ArrivalSchedule::Next() {
  expected_ += random_.Exponential();
  // The time at which so many arrivals are expected: while the rate rises, rate t^2 / (2 ramp).
  const double in_ramp = rate_ * ramp_ / 2;
  const double seconds = expected_ < in_ramp ? std::sqrt(2 * ramp_ * expected_ / rate_)
                                             : ramp_ + (expected_ - in_ramp) / rate_;
  return absl::Seconds(seconds);
}

absl::Duration StartInRamp(const Workload& workload, int64_t index) {
  return workload.ramp * index / workload.sessions;
}

}  // namespace sinkstream::loadgen
