// RequestLog: what the log tells of sessions and their requests: ids, counts, times, outcomes.
// Never what was said, and of a session's id, which is its client's secret, the first 8 digits.
#pragma once

#include "engine/observer.h"
#include "server/telemetry/log_writer.h"

namespace sinkstream {

class RequestLog final : public EngineObserver {
 public:
  // `log` outlives this.
  explicit RequestLog(LogWriter& log) : log_(log) {}

  // Any thread: an error that is the server's fault (INTERNAL, UNKNOWN, DATA_LOSS); nothing for any
  // other.
  void InternalError(const absl::Status& status);

  // info: each turn and append that was taken up; error, if it is the server's fault.
  void OnRequestEnd(const RequestEnd& end) override;
  // debug.
  void OnSessionStart(const SessionStart& start) override;
  void OnSessionEnd(const SessionEnd& end) override;
  // error: a save or load that failed; else debug.
  void OnParkEnd(const ParkEnd& end) override;
  // info.
  void OnDraining() override;

 private:
  LogWriter& log_;
};

}  // namespace sinkstream
