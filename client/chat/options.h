// The command line of sinkstream-chat.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "client/credentials.h"
#include "client/tool/arguments.h"

namespace sinkstream {

struct ChatOptions {
  std::string server = "127.0.0.1:50051";
  CredentialFiles credentials = {};
  absl::Duration wait = absl::ZeroDuration();  // until the server says SERVING; zero: none
  bool check = false;                          // only ask its health
  std::optional<std::string> session = {};     // to come back to; else a new one
  bool stats = false;                          // after each reply

  // Of a new session, handed to the server as they are; without one: the server's.
  std::optional<std::string> system = {};
  std::optional<int32_t> sinks = {};
  std::optional<int64_t> window = {};

  // Of each turn, likewise; without one: the session's.
  std::optional<double> temperature = {};
  std::optional<int32_t> top_k = {};
  std::optional<double> top_p = {};
  std::optional<uint64_t> seed = {};
  std::optional<int32_t> max_tokens = {};
};

// Each writes to `options`, which outlives them.
std::vector<Flag> ChatFlags(ChatOptions* options);

}  // namespace sinkstream
