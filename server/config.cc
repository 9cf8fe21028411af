#include "server/config.h"

#include <algorithm>
#include <initializer_list>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "engine/torch/machine_limits.h"
#include "server/listen_address.h"

namespace sinkstream {
namespace {

// Far beyond what a machine holds, and far from where sums of them would overflow.
constexpr int64_t kMostKvBytes = int64_t{1} << 46;
constexpr int64_t kMostSessions = 1 << 20;
constexpr int64_t kMostTokens = 1 << 30;
constexpr int64_t kLeastStepTokens = 8;
constexpr int64_t kMostStepTokens = 1 << 16;
constexpr absl::Duration kMostIdleTimeout = absl::Hours(24 * 365);
constexpr int64_t kMostPositions = int64_t{1} << 40;
constexpr int64_t kMostMessageBytes = int64_t{1} << 30;
// A message is its text and what else a turn may say, stops of 16 * 256 bytes and 64 tokens above
// all.
constexpr int64_t kEnvelope = 8192;

class Faults {
 public:
  void InRange(const char* flag, int64_t value, int64_t least, int64_t most) {
    if (value < least) Add(flag, absl::StrCat("is ", value, "; must be at least ", least));
    if (value > most) Add(flag, absl::StrCat("is ", value, "; must be at most ", most));
  }
  void InRange(const char* flag, absl::Duration value, absl::Duration least, absl::Duration most) {
    if (value >= least && value <= most) return;
    Add(flag, absl::StrCat("is ", absl::FormatDuration(value), "; must be in [",
                           absl::FormatDuration(least), ", ", absl::FormatDuration(most), "]"));
  }
  void OneOf(const char* flag, const std::string& value,
             std::initializer_list<const char*> choices) {
    for (const char* choice : choices) {
      if (value == choice) return;
    }
    Add(flag, absl::StrCat("is '", value, "'; must be one of ", absl::StrJoin(choices, ", ")));
  }
  void Add(const char* flag, const std::string& problem) {
    faults_.push_back(absl::StrCat("--", flag, ": ", problem));
  }
  std::vector<std::string> Take() { return std::move(faults_); }

 private:
  std::vector<std::string> faults_;
};

void CheckSecurity(const ServerConfig& config, Faults& faults) {
  const TlsFiles& tls = config.security.tls;
  if (tls.certificate.empty() && !tls.key.empty()) {
    faults.Add("tls_certificate", "is empty; --tls_key needs it");
  }
  if (!tls.certificate.empty() && tls.key.empty()) {
    faults.Add("tls_key", "is empty; --tls_certificate needs it");
  }
  if (!tls.client_ca.empty() && tls.certificate.empty()) {
    faults.Add("tls_client_ca", "needs --tls_certificate and --tls_key");
  }
  if (!tls.certificate.empty() || config.insecure_listen || IsLoopback(config.listen)) return;
  faults.Add("listen", absl::StrCat("is '", config.listen,
                                    "', which other machines may reach, without encryption; give "
                                    "--tls_certificate and --tls_key, or --insecure_listen"));
}

void CheckPrincipalSessions(const ServerConfig& config, Faults& faults) {
  const int32_t most = config.engine.limits.max_principal_sessions;
  faults.InRange("max_principal_sessions", most, 0, config.engine.limits.max_sessions);
  const SecurityFiles& files = config.security;
  if (most <= 0 || !files.auth_tokens.empty() || !files.tls.client_ca.empty()) return;
  faults.Add("max_principal_sessions",
             "needs --auth_tokens or --tls_client_ca, which say whose a session is");
}

void CheckSessionDefaults(const EngineOptions& engine, Faults& faults) {
  faults.InRange("sinks", engine.defaults.sinks, 0, kMostTokens);
  faults.InRange("window", engine.defaults.window, 1, kMostTokens);
  faults.InRange("max_idle_timeout", engine.limits.max_idle_timeout, absl::ZeroDuration(),
                 kMostIdleTimeout);
  faults.InRange("idle_timeout", engine.defaults.idle_timeout, absl::ZeroDuration(),
                 engine.limits.max_idle_timeout);
  if (engine.park.bytes > 0 && engine.park.directory.empty()) {
    faults.Add("park_directory", "is empty; --park_bytes needs it");
  }
}

void CheckLimits(const ServerConfig& config, Faults& faults) {
  const EngineLimits& limits = config.engine.limits;
  faults.InRange("max_sessions", limits.max_sessions, 1, kMostSessions);
  faults.InRange("step_tokens", limits.step_tokens, kLeastStepTokens, kMostStepTokens);
  faults.InRange("prefill_chunk", limits.prefill_chunk, 1,
                 limits.step_tokens < kLeastStepTokens ? kMostStepTokens : limits.step_tokens);
  faults.InRange("speculative_tokens", limits.speculative_tokens, 0, kMaxSpeculativeTokens);
  faults.InRange("score_rows", limits.score_rows, 1, kMostStepTokens);
  faults.InRange("distribution_bytes", limits.distribution_bytes, 1, kMostKvBytes);
  faults.InRange("max_tokens", limits.max_tokens, 1, kMostTokens);
  constexpr int64_t kMostText = kMostMessageBytes - kEnvelope;
  faults.InRange("max_request_bytes", limits.max_request_bytes, 1, kMostText);
  const int64_t text = std::clamp<int64_t>(limits.max_request_bytes, 1, kMostText);
  faults.InRange("max_message_bytes", config.max_message_bytes, text + kEnvelope,
                 kMostMessageBytes);
}

}  // namespace

std::vector<std::string> Validate(const ServerConfig& config) {
  Faults faults;
  if (config.model.empty()) faults.Add("model", "is empty; must name the model file");
  if (!IsAddressAndPort(config.listen)) {
    faults.Add("listen", absl::StrCat("is '", config.listen,
                                      "'; must be ADDRESS:PORT, IPv6 in brackets, the port at most "
                                      "65535"));
  } else {
    CheckSecurity(config, faults);
  }
  if (!config.metrics_listen.empty() && !IsAddressAndPort(config.metrics_listen)) {
    faults.Add("metrics_listen",
               absl::StrCat("is '", config.metrics_listen,
                            "'; must be empty or ADDRESS:PORT, IPv6 in brackets, the "
                            "port at most 65535"));
  }
  faults.OneOf("log_level", config.log_level, {"error", "warning", "info", "debug"});
  faults.InRange("threads", config.threads, 0, kMaxThreads);
  faults.InRange("kv_bytes", config.kv_bytes, 1, kMostKvBytes);
  faults.InRange("park_bytes", config.engine.park.bytes, 0, kMostKvBytes);
  faults.OneOf("kv_dtype", config.kv_dtype, {"auto", "float32", "bfloat16", "int8"});
  faults.OneOf("isa", config.isa,
               {"auto", "amx", "avx512_bf16", "avx512_vnni", "avx512", "avx2", "portable"});
  faults.InRange("position_offset", config.engine.position_offset, 0, kMostPositions);
  faults.InRange("drain_timeout", config.drain_timeout, absl::ZeroDuration(), kMaxDrainTimeout);
  faults.InRange("stuck_step_limit", config.stuck_step_limit, kMinStuckStepLimit,
                 kMaxStuckStepLimit);
  CheckSessionDefaults(config.engine, faults);
  CheckLimits(config, faults);
  CheckPrincipalSessions(config, faults);
  return faults.Take();
}

}  // namespace sinkstream
