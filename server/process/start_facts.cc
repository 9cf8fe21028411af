#include "server/process/start_facts.h"

#include "absl/strings/str_format.h"
#include "server/process/version.h"

namespace sinkstream {

std::string StartFacts(const Engine& engine) {
  const ModelSpec& spec = engine.Spec();
  const SessionSettings& session = engine.Options().defaults;
  const int64_t session_bytes = engine.SessionKvBytes(session);
  const int64_t sessions = engine.SessionsKvBytes() / session_bytes;
  constexpr double kMiB = 1 << 20;
  return absl::StrFormat(
      "sinkstream-server %s\n"
      "model: %s (%s), weights %s\n"
      "compute: %s, threads: %d\n"
      "KV: %s, %.1f MiB, holds %d sessions of %d sinks + %d tokens, %.1f MiB each\n",
      kServerVersion, spec.name, spec.architecture, spec.weight_dtype, spec.isa, spec.threads,
      spec.kv_dtype, static_cast<double>(spec.num_blocks * spec.block_bytes) / kMiB, sessions,
      session.sinks, session.window, static_cast<double>(session_bytes) / kMiB);
}

}  // namespace sinkstream
