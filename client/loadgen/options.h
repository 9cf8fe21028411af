// The command line of sinkstream-loadgen.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "client/loadgen/measurement.h"
#include "client/loadgen/workload.h"
#include "client/tool/arguments.h"

namespace sinkstream::loadgen {

// What was given, as far as it decides what may be given beside it.
struct GivenFlags {
  bool sessions = false;
  bool warmup = false;
  bool warmup_turns = false;
  bool grace = false;
  bool long_share = false;
  bool read_delay = false;
};

struct Options {
  std::string server = "127.0.0.1:50051";
  CredentialFiles credentials;
  Workload workload;
  Objective objective;
  std::vector<int64_t> sweep;  // numbers of sessions; empty: one run
  absl::Duration grace = absl::Seconds(60);

  // Of the text that is sent, and how it is answered.
  std::string text;                 // a file's path; empty: a text of its own
  std::string system_prompt;        // likewise; empty: none
  int64_t sinks = -1, window = -1;  // tokens; negative: the server's defaults
  double temperature = 0;
  bool ignore_end_of_turn = true;

  std::string json, plot;  // paths; empty: none
  GivenFlags given;
};

// Each writes to `options`, which outlives them.
std::vector<Flag> LoadFlags(Options* options);

// INVALID_ARGUMENT, in one line for the user: flags that do not go together were given.
absl::Status CheckTogether(const Options& options);

// "closed loop, 8 sessions, 4 turns each; prompts of 16, replies of 128 tokens"
std::string Describe(const Workload& workload);

}  // namespace sinkstream::loadgen
