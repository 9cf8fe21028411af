#include "server/process/grpc_log.h"

#include <grpc/support/log.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>

#include "absl/strings/match.h"

namespace sinkstream {
namespace {

std::atomic<bool> port_is_deaf{false};

// gRPC's own printer is not to be had once it has been replaced.
void Print(const gpr_log_func_args& line) {
  std::fprintf(stderr, "%s %s:%d] %s\n", gpr_log_severity_string(line.severity), line.file,
               line.line, line.message);
}

void Watch(gpr_log_func_args* line) {
  if (absl::StartsWith(line->message, "Failed accept4: ")) port_is_deaf = true;
}

void WatchAndPrint(gpr_log_func_args* line) {
  Watch(line);
  Print(*line);
}

}  // namespace

void TakeGrpcLog() {
  if (std::getenv("GRPC_VERBOSITY") != nullptr) return gpr_set_log_function(WatchAndPrint);
  gpr_set_log_verbosity(GPR_LOG_SEVERITY_ERROR);
  gpr_set_log_function(Watch);
}

bool PortIsDeaf() { return port_is_deaf; }

}  // namespace sinkstream
