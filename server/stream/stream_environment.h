// StreamEnvironment: what the calls that stream a session's events share, and the list of those
// that live.
#pragma once

#include <cstdint>
#include <functional>
#include <unordered_set>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "engine/engine.h"
#include "engine/sync.h"
#include "server/metrics/service_metrics.h"
#include "server/process/activity.h"
#include "server/security/authenticator.h"
#include "server/stream/wake_queue.h"
#include "server/wire/request.h"
#include "sinkstream/v1/chat.pb.h"

namespace sinkstream {

struct ServiceOptions {
  int64_t max_message_bytes = 1 << 20;  // of one message from a client
  // Converse and Score calls alive beside one for each session: some wait for a session, take one
  // over or are about to hear why they get none. Then RESOURCE_EXHAUSTED, MAX_STREAMS.
  int32_t streams_beside_sessions = 64;
  // From the start of a Converse call to its `open`; then DEADLINE_EXCEEDED.
  absl::Duration open_deadline = absl::Seconds(30);
};

class LiveStream {
 public:
  virtual ~LiveStream() = default;
  // Ends it with `status` once what waits for it is written. Any thread, while it is known to live.
  virtual void EndAfterWriting(const absl::Status& status) = 0;
};

// The streams that live: no more than a limit, and a server that stops can end them. Any thread.
class LiveStreams {
 public:
  // `activity`, told how many live, outlives this.
  LiveStreams(int64_t most, EngineActivity& activity) : most_(most), activity_(activity) {}

  // RESOURCE_EXHAUSTED if `most` live already; after EndAll(), its status.
  absl::Status Add(LiveStream* stream);
  // No effect on one that was not added.
  void Remove(LiveStream* stream);
  // For good.
  void EndAll(const absl::Status& status);
  int64_t most() const { return most_; }

 private:
  void TellCount() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    activity_.OnStreams(static_cast<int64_t>(streams_.size()));
  }

  const int64_t most_;
  EngineActivity& activity_;
  Mutex mutex_;
  absl::Status ended_ ABSL_GUARDED_BY(mutex_);
  std::unordered_set<LiveStream*> streams_ ABSL_GUARDED_BY(mutex_);
};

// Any thread; must not throw. Told each error whose text clients are not told; others, and OK, are
// passed over.
using ErrorSink = std::function<void(const absl::Status&)>;

// Outlives every call.
struct StreamEnvironment {
  // `engine_served`, `activity`, `service_metrics`, `security` (null: none) and what `error_sink`
  // uses outlive this.
  StreamEnvironment(Engine& engine_served, EngineActivity& activity,
                    ServiceMetrics& service_metrics, const ServiceOptions& options,
                    const PortSecurity* security, ErrorSink error_sink);

  Engine& engine;
  ServiceMetrics& metrics;
  const Authenticator authenticator;
  const ErrorSink on_error;
  const RequestRules rules;
  const v1::Limits limits;
  const absl::Duration open_deadline;
  WakeQueue wakes;
  LiveStreams streams;
};

}  // namespace sinkstream
