// ServiceMetrics: counts what streams and calls tell: their ends, refused messages, and when tokens
// are handed to their streams. Any thread; takes no lock and no memory.
#pragma once

#include <atomic>
#include <cstdint>

#include "absl/status/status.h"
#include "engine/clock.h"
#include "engine/outbox.h"
#include "server/metrics/error_metrics.h"
#include "server/metrics/metric_store.h"

namespace sinkstream {

class ServiceMetrics {
 public:
  // Both outlive this. `clock`: the engine's.
  ServiceMetrics(MetricStore& store, const Clock& clock);

  void SetStreamsLimit(int64_t streams);
  void StreamBegun() { streams_.Add(1); }
  void StreamGone() { streams_.Add(-1); }
  // What a client is told: how its stream or unary call ended, or one of its requests.
  void Told(ErrorScope scope, const absl::Status& status) {
    CountError(store_, scope, status.code());
  }
  // A stream, a session or a request, refused with `status`, if that names a want of room.
  void CountRefusal(const absl::Status& status);
  // A message of a client, refused with `status`. `parsed`: it is one of the wire contract.
  void MessageRefused(const absl::Status& status, bool parsed);

  // For every outbox; Outbox(waiting_in_all).
  std::atomic<int64_t>& outbound_events() { return outbound_events_; }

 private:
  friend class TokenTimes;

  MetricStore& store_;
  const Clock& clock_;
  std::atomic<int64_t> outbound_events_{0};
  Gauge& streams_;
  Counter &malformed_, &invalid_, &out_of_turn_;
  HistogramCell &first_token_seconds_, &token_gap_seconds_;
};

// TokenTimes: when the tokens of one stream's replies are handed out. One thread at a time.
class TokenTimes {
 public:
  // `metrics` outlives this.
  explicit TokenTimes(ServiceMetrics& metrics) : metrics_(metrics) {}

  // What an outbox has just given. Tokens that come together share the time since those before
  // them evenly; it is not counted where the stream's own reader has held them up.
  void HandedOut(const Outbox::Batch& batch);

 private:
  void CountGaps(uint64_t tokens, absl::Time now);

  ServiceMetrics& metrics_;
  absl::Time last_ = absl::InfinitePast();  // when a token was handed out
};

}  // namespace sinkstream
