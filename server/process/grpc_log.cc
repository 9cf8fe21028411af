#include "server/process/grpc_log.h"

#include <grpc/support/log.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "engine/sync.h"

namespace sinkstream {
namespace {

constexpr absl::string_view kAcceptFailed = "Failed accept4: ";

struct DeafPort {
  Mutex mutex;
  std::optional<std::string> why ABSL_GUARDED_BY(mutex);
};

// Never destroyed: gRPC's threads write lines to the end of the process.
DeafPort& TheDeafPort() {
  static DeafPort* const port = new DeafPort;
  return *port;
}

void Watch(gpr_log_func_args* line) {
  const absl::string_view message = line->message;
  if (!absl::StartsWith(message, kAcceptFailed)) return;
  DeafPort& port = TheDeafPort();
  MutexLock lock(port.mutex);
  port.why = std::string(message.substr(kAcceptFailed.size()));
}

// gRPC's own printer is not to be had once it has been replaced.
void WatchAndPrint(gpr_log_func_args* line) {
  Watch(line);
  const std::string time =
      absl::FormatTime("%Y-%m-%dT%H:%M:%E6SZ", absl::Now(), absl::UTCTimeZone());
  std::fprintf(stderr, "%s %s thread %d %s:%d] %s\n", gpr_log_severity_string(line->severity),
               time.c_str(), gettid(), line->file, line->line, line->message);
}

bool LogIsAskedFor() {
  const char* const verbosity = std::getenv("GRPC_VERBOSITY");
  return verbosity != nullptr && !absl::EqualsIgnoreCase(verbosity, "none");
}

}  // namespace

void TakeGrpcLog() {
  if (LogIsAskedFor()) return gpr_set_log_function(WatchAndPrint);
  gpr_set_log_verbosity(GPR_LOG_SEVERITY_ERROR);
  gpr_set_log_function(Watch);
}

std::optional<std::string> WhyPortIsDeaf() {
  DeafPort& port = TheDeafPort();
  MutexLock lock(port.mutex);
  return port.why;
}

}  // namespace sinkstream
