// ServerConfig: every setting of the server, with its default. Flags fill it (flags.h), Validate
// checks it; nothing starts before that.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "engine/engine.h"
#include "server/security/port_security.h"

namespace sinkstream {

struct ServerConfig {
  ServerConfig() { engine.park.bytes = int64_t{8} << 30; }  // an engine alone parks nothing

  std::string model;                       // the model file
  std::string listen = "127.0.0.1:50051";  // ADDRESS:PORT; port 0: any free one
  // Nothing but loopback is listened on without encryption, unless this is set.
  bool insecure_listen = false;
  SecurityFiles security;
  bool reflection = false;
  int32_t threads = 0;                  // of the model; 0: one for each core
  int64_t kv_bytes = int64_t{2} << 30;  // KV memory of all sessions
  // auto (what the model file says), float32, bfloat16, int8
  std::string kv_dtype = "auto";
  // auto (this CPU's best), amx, avx512_bf16, avx512_vnni, avx512, avx2, portable
  std::string isa = "auto";
  int64_t max_message_bytes = 1 << 20;  // of one gRPC message from a client
  absl::Duration drain_timeout =
      absl::Seconds(5);  // how long running requests may go on after the first signal
  // A round of the engine's loop that takes longer makes the server NOT_SERVING until it ends.
  absl::Duration stuck_step_limit = absl::Seconds(60);
  // ADDRESS:PORT of metrics and health (server/telemetry/ops_server.h), port 0: any free one;
  // empty: no such port.
  std::string metrics_listen;
  std::string log_level = "info";  // error, warning, info, debug
  EngineOptions engine;
};

// The longest drain_timeout.
inline constexpr absl::Duration kMaxDrainTimeout = absl::Hours(24);
// Of stuck_step_limit.
inline constexpr absl::Duration kMinStuckStepLimit = absl::Seconds(1);
inline constexpr absl::Duration kMaxStuckStepLimit = absl::Hours(24);

// Every fault, each as one line that begins with the flag's name; empty: none. Every number has a
// lower and an upper bound here, so that nothing behind it overflows; what needs the model (window
// and pool sizes) is checked by Engine::Create, which stops at its first fault.
std::vector<std::string> Validate(const ServerConfig& config);

}  // namespace sinkstream
