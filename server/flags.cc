#include "server/flags.h"

#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "absl/flags/commandlineflag.h"
#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/reflection.h"
#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "server/byte_size.h"
#include "server/metrics/catalog_page.h"
#include "server/process/version.h"

using sinkstream::ByteSize;
using sinkstream::EngineLimits;
using sinkstream::ServerConfig;
using sinkstream::SessionSettings;

ABSL_FLAG(std::string, model, "",
          "The model file (.pt), as sinkstream_export writes it. Required.");
ABSL_FLAG(std::string, listen, ServerConfig().listen,
          "ADDRESS:PORT to listen on. Port 0: any free one; it is printed.");
ABSL_FLAG(
    bool, insecure_listen, ServerConfig().insecure_listen,
    "Listen on other addresses than loopback without encryption: whoever is on the way may read "
    "and change everything, tokens too.");
ABSL_FLAG(std::string, tls_certificate, "",
          "PEM file: the server's certificate, then those up to its root. Encrypts the port; read "
          "again when it changes, as are the other files of this kind.");
ABSL_FLAG(std::string, tls_key, "", "PEM file: the certificate's key, without a passphrase.");
ABSL_FLAG(std::string, tls_client_ca, "",
          "PEM file: roots of clients' certificates; then every client must show one.");
ABSL_FLAG(std::string, auth_tokens, "",
          "File with a line 'PRINCIPAL TOKEN' for each who may use the server, who sends it as "
          "'authorization: Bearer TOKEN'.");
ABSL_FLAG(bool, reflection, ServerConfig().reflection,
          "Tell everybody the wire contract by grpc.reflection.");
ABSL_FLAG(int32_t, threads, ServerConfig().threads,
          "Threads that compute the model. 0: one for each core.");
ABSL_FLAG(ByteSize, kv_bytes, ByteSize{ServerConfig().kv_bytes},
          "KV memory of all sessions together: 2GiB, 512MiB or plain bytes.");
ABSL_FLAG(
    std::string, kv_dtype, ServerConfig().kv_dtype,
    "Type of keys and values: float32, bfloat16, int8, or auto, what the model file was found to "
    "bear.");
ABSL_FLAG(std::string, isa, ServerConfig().isa,
          "Instructions to compute with: amx, avx512_bf16, avx512_vnni, avx512, avx2, portable, or "
          "auto, the best of this CPU.");
ABSL_FLAG(std::string, park_directory, ServerConfig().engine.park.directory,
          "Where caches of sessions without a stream go when KV memory is short.");
ABSL_FLAG(ByteSize, park_bytes, ByteSize{ServerConfig().engine.park.bytes},
          "Disk for all caches in --park_directory together; 0: caches stay in memory.");
ABSL_FLAG(int32_t, max_sessions, EngineLimits().max_sessions,
          "Sessions alive at a time, attached or not.");
ABSL_FLAG(
    int32_t, max_principal_sessions, EngineLimits().max_principal_sessions,
    "Those of one principal, as --auth_tokens or --tls_client_ca tell; 0: no bound of its own.");
ABSL_FLAG(int32_t, sinks, SessionSettings().sinks,
          "Pinned tokens of a session that does not say: its first ones, kept for ever.");
ABSL_FLAG(int64_t, window, SessionSettings().window,
          "Recent tokens that a token sees, in a session that does not say.");
ABSL_FLAG(
    absl::Duration, idle_timeout, SessionSettings().idle_timeout,
    "How long a session lives without a stream, if it does not say: 10m, 30s; 0: not at all.");
ABSL_FLAG(absl::Duration, max_idle_timeout, EngineLimits().max_idle_timeout,
          "The longest time without a stream that a client may ask for.");
ABSL_FLAG(int32_t, step_tokens, EngineLimits().step_tokens,
          "Most tokens of one model step, all sessions together.");
ABSL_FLAG(int32_t, prefill_chunk, EngineLimits().prefill_chunk,
          "Most prompt tokens of one model step while any session decodes.");
ABSL_FLAG(int32_t, speculative_tokens, EngineLimits().speculative_tokens,
          "Most tokens of a reply that are guessed ahead and verified in one step; 0: none.");
ABSL_FLAG(int32_t, score_rows, EngineLimits().score_rows,
          "Most tokens of one model step that are scored: each takes a vocabulary of logits.");
ABSL_FLAG(ByteSize, distribution_bytes, ByteSize{EngineLimits().distribution_bytes},
          "Memory of told distributions that no client has read yet, all sessions together.");
ABSL_FLAG(int32_t, max_tokens, EngineLimits().max_tokens, "Most tokens of one reply.");
ABSL_FLAG(ByteSize, max_request_bytes, ByteSize{EngineLimits().max_request_bytes},
          "Most text of one turn, append or system prompt.");
ABSL_FLAG(ByteSize, max_message_bytes, ByteSize{ServerConfig().max_message_bytes},
          "Most bytes of one message from a client.");
ABSL_FLAG(
    absl::Duration, drain_timeout, ServerConfig().drain_timeout,
    "How long running requests may go on after SIGTERM or SIGINT; a second signal ends them.");
ABSL_FLAG(absl::Duration, stuck_step_limit, ServerConfig().stuck_step_limit,
          "A step that takes longer makes the server NOT_SERVING until it ends.");
ABSL_FLAG(
    std::string, metrics_listen, ServerConfig().metrics_listen,
    "ADDRESS:PORT of /metrics, /healthz and /readyz, plain HTTP, IPv4: 127.0.0.1:9464. Port 0: "
    "any free one; it is printed. Empty: no such port.");
ABSL_FLAG(std::string, log_level, ServerConfig().log_level,
          "What is logged on standard error, as JSON: error, warning, info (each turn) or debug.");
ABSL_FLAG(int64_t, position_offset, 0,
          "Test aid: every session stands this many tokens later in its stream.");

namespace sinkstream {
namespace {

void PrintHelp() {
  std::printf(
      "sinkstream-server: serves a chat model over gRPC, in sessions that never end.\n\n"
      "  sinkstream-server --model=FILE [flags]\n\n"
      "  --flagfile=FILE\n      Reads flags from a file, one a line.\n"
      "  --help, --version, --print_metrics\n      Prints this, the version or the list of "
      "metrics, and ends.\n");
  std::map<std::string, const absl::CommandLineFlag*> own;
  for (const auto& [name, flag] : absl::GetAllFlags()) {
    if (absl::EndsWith(flag->Filename(), "server/flags.cc")) own.emplace(std::string(name), flag);
  }
  for (const auto& [name, flag] : own) {
    const std::string value = flag->DefaultValue();
    std::printf("  --%s (default: %s)\n      %s\n", name.c_str(),
                value.empty() ? "none" : value.c_str(), flag->Help().c_str());
  }
}

// True if help, the version or the list of metrics was asked for: Abseil's own --help lists no flag
// of this file and exits with 1.
bool Answered(int argc, char* argv[]) {
  for (int i = 1; i < argc; ++i) {
    const absl::string_view argument = argv[i];
    if (argument == "--") return false;
    if (argument == "--help" || argument == "-help" || argument == "-h") {
      PrintHelp();
      return true;
    }
    if (argument == "--print_metrics" || argument == "-print_metrics") {
      std::fputs(CatalogPage().c_str(), stdout);
      return true;
    }
    if (argument == "--version" || argument == "-version") {
      std::printf("sinkstream-server %s\n", kServerVersion);
      return true;
    }
  }
  return false;
}

// The first argument of two dashes that is neither a flag nor a flag's value; null if there is no
// such. Abseil, to which all else is left, would end the process and not tell who speaks or where
// the flags are.
const char* UnknownFlag(int argc, char* argv[]) {
  for (int i = 1; i < argc; ++i) {
    absl::string_view name = argv[i];
    if (name == "--") return nullptr;
    if (!absl::ConsumePrefix(&name, "--")) continue;
    const size_t equals = name.find('=');
    name = name.substr(0, equals);
    const absl::CommandLineFlag* const flag = absl::FindCommandLineFlag(name);
    if (flag != nullptr) {
      if (equals == name.npos && !flag->IsOfType<bool>()) ++i;  // its value
    } else if (!absl::ConsumePrefix(&name, "no") || absl::FindCommandLineFlag(name) == nullptr) {
      return argv[i];
    }
  }
  return nullptr;
}

[[noreturn]] void RefuseArgument(const char* argument) {
  std::fprintf(stderr, "sinkstream-server: error: '%s' is not a flag (see --help)\n", argument);
  std::exit(1);
}

ServerConfig ConfigFromFlags() {
  ServerConfig config;
  config.model = absl::GetFlag(FLAGS_model);
  config.listen = absl::GetFlag(FLAGS_listen);
  config.insecure_listen = absl::GetFlag(FLAGS_insecure_listen);
  config.security = {{absl::GetFlag(FLAGS_tls_certificate), absl::GetFlag(FLAGS_tls_key),
                      absl::GetFlag(FLAGS_tls_client_ca)},
                     absl::GetFlag(FLAGS_auth_tokens)};
  config.reflection = absl::GetFlag(FLAGS_reflection);
  config.threads = absl::GetFlag(FLAGS_threads);
  config.kv_bytes = absl::GetFlag(FLAGS_kv_bytes).bytes;
  config.kv_dtype = absl::GetFlag(FLAGS_kv_dtype);
  config.isa = absl::GetFlag(FLAGS_isa);
  config.max_message_bytes = absl::GetFlag(FLAGS_max_message_bytes).bytes;
  config.drain_timeout = absl::GetFlag(FLAGS_drain_timeout);
  config.stuck_step_limit = absl::GetFlag(FLAGS_stuck_step_limit);
  config.metrics_listen = absl::GetFlag(FLAGS_metrics_listen);
  config.log_level = absl::GetFlag(FLAGS_log_level);
  config.engine.position_offset = absl::GetFlag(FLAGS_position_offset);
  config.engine.defaults.sinks = absl::GetFlag(FLAGS_sinks);
  config.engine.defaults.window = absl::GetFlag(FLAGS_window);
  config.engine.defaults.idle_timeout = absl::GetFlag(FLAGS_idle_timeout);
  config.engine.limits.max_idle_timeout = absl::GetFlag(FLAGS_max_idle_timeout);
  config.engine.park.directory = absl::GetFlag(FLAGS_park_directory);
  config.engine.park.bytes = absl::GetFlag(FLAGS_park_bytes).bytes;
  EngineLimits& limits = config.engine.limits;
  limits.max_sessions = absl::GetFlag(FLAGS_max_sessions);
  limits.max_principal_sessions = absl::GetFlag(FLAGS_max_principal_sessions);
  limits.step_tokens = absl::GetFlag(FLAGS_step_tokens);
  limits.prefill_chunk = absl::GetFlag(FLAGS_prefill_chunk);
  limits.speculative_tokens = absl::GetFlag(FLAGS_speculative_tokens);
  limits.score_rows = absl::GetFlag(FLAGS_score_rows);
  limits.distribution_bytes = absl::GetFlag(FLAGS_distribution_bytes).bytes;
  limits.max_tokens = absl::GetFlag(FLAGS_max_tokens);
  limits.max_request_bytes = absl::GetFlag(FLAGS_max_request_bytes).bytes;
  return config;
}

}  // namespace

std::optional<ServerConfig> ParseCommandLine(int argc, char* argv[]) {
  if (Answered(argc, argv)) return std::nullopt;
  if (const char* const unknown = UnknownFlag(argc, argv)) RefuseArgument(unknown);
  const std::vector<char*> rest = absl::ParseCommandLine(argc, argv);
  if (rest.size() > 1) RefuseArgument(rest[1]);
  return ConfigFromFlags();
}

}  // namespace sinkstream
