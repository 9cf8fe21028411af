// OpenDeadline: how long a stream may take to send its `open`, so that a client that never does
// holds nothing for ever.
#pragma once

#include <grpcpp/alarm.h>

#include <functional>
#include <memory>

#include "absl/time/time.h"
#include "engine/sync.h"

namespace sinkstream {

class OpenDeadline {
 public:
  OpenDeadline();
  ~OpenDeadline() { Met(); }
  OpenDeadline(const OpenDeadline&) = delete;
  OpenDeadline& operator=(const OpenDeadline&) = delete;

  // Once. `on_missed` is called on a thread of gRPC after `patience`, unless Met() comes first. It
  // must not call back into this.
  void Start(absl::Duration patience, std::function<void()> on_missed);
  // When it returns on_missed does not run and never will. Any thread; idempotent.
  void Met();

 private:
  // The alarm's callback may come after this has gone.
  struct Missed {
    Mutex mutex;
    std::function<void()> call ABSL_GUARDED_BY(mutex);
  };
  const std::shared_ptr<Missed> missed_;
  grpc::Alarm alarm_;
};

}  // namespace sinkstream
