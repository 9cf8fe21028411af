#include "server/config.h"

#include <initializer_list>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"

namespace sinkstream {
namespace {

class Faults {
 public:
  void AtLeast(const char* flag, int64_t value, int64_t least) {
    if (value < least) Add(flag, absl::StrCat("is ", value, "; must be at least ", least));
  }
  void AtMost(const char* flag, int64_t value, int64_t most) {
    if (value > most) Add(flag, absl::StrCat("is ", value, "; must be at most ", most));
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

bool IsAddressAndPort(const std::string& listen) {
  const size_t colon = listen.rfind(':');
  int port = -1;
  return colon != std::string::npos && colon > 0 &&
         absl::SimpleAtoi(listen.substr(colon + 1), &port) && port >= 0 && port <= 65535;
}

void CheckSessionDefaults(const EngineOptions& engine, Faults& faults) {
  faults.AtLeast("sinks", engine.defaults.sinks, 0);
  faults.AtLeast("window", engine.defaults.window, 1);
  const absl::Duration idle = engine.defaults.idle_timeout;
  if (idle < absl::ZeroDuration() || idle > engine.limits.max_idle_timeout) {
    faults.Add("idle_timeout",
               absl::StrCat("is ", absl::FormatDuration(idle), "; must be in [0, ",
                            absl::FormatDuration(engine.limits.max_idle_timeout), "]"));
  }
}

void CheckLimits(const ServerConfig& config, Faults& faults) {
  const EngineLimits& limits = config.engine.limits;
  faults.AtLeast("max_sessions", limits.max_sessions, 1);
  faults.AtLeast("step_tokens", limits.step_tokens, 8);
  faults.AtLeast("prefill_chunk", limits.prefill_chunk, 1);
  faults.AtMost("prefill_chunk", limits.prefill_chunk, limits.step_tokens);
  faults.AtLeast("max_tokens", limits.max_tokens, 1);
  faults.AtLeast("max_request_bytes", limits.max_request_bytes, 1);
  // A message is a little longer than its text.
  constexpr int64_t kEnvelope = 4096;
  faults.AtLeast("max_message_bytes", config.max_message_bytes,
                 limits.max_request_bytes + kEnvelope);
  faults.AtMost("max_message_bytes", config.max_message_bytes, int64_t{1} << 30);
}

}  // namespace

std::vector<std::string> Validate(const ServerConfig& config) {
  Faults faults;
  if (config.model.empty()) faults.Add("model", "is empty; must name the model file");
  if (!IsAddressAndPort(config.listen)) {
    faults.Add("listen", absl::StrCat("is '", config.listen, "'; must be ADDRESS:PORT"));
  }
  faults.AtLeast("threads", config.threads, 0);
  faults.AtMost("threads", config.threads, 1024);
  faults.AtLeast("kv_bytes", config.kv_bytes, 1);
  faults.OneOf("kv_dtype", config.kv_dtype, {"auto", "float32", "bfloat16"});
  faults.OneOf("isa", config.isa, {"auto", "avx512", "avx2", "portable"});
  faults.AtLeast("position_offset", config.engine.position_offset, 0);
  if (config.drain_timeout < absl::ZeroDuration()) faults.Add("drain_timeout", "is negative");
  CheckSessionDefaults(config.engine, faults);
  CheckLimits(config, faults);
  return faults.Take();
}

}  // namespace sinkstream
