// sinkstream-eval: how well attention sinks serve a model, measured on a running server.
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/eval/console.h"
#include "client/eval/drift.h"
#include "client/eval/perplexity.h"
#include "client/eval/recall.h"
#include "client/eval/score_client.h"
#include "client/eval/table.h"
#include "client/silence_libraries.h"
#include "client/terminal.h"
#include "client/tool/arguments.h"
#include "client/tool/standard_output.h"

namespace sinkstream::eval {
namespace {

constexpr int kFailure = 1;
constexpr int kUsage = 2;

// Ctrl-C: what was measured is kept. A second one ends the process at once.
class StopOnInterrupt {
 public:
  StopOnInterrupt(int interrupts, ScoreClient& client)
      : watch_(interrupts, [&client](int number) {
          if (number > 1) _exit(kFailure);
          client.Stop();
        }) {}

 private:
  const InterruptWatch watch_;
};

template <typename Options>
int Run(const Options& options, absl::Status (*run)(const Options&, ScoreClient&)) {
  const auto credentials = LoadCredentials(options.subject.credentials, options.subject.server);
  if (!credentials.ok()) {
    Note(std::string(credentials.status().message()));
    return kFailure;
  }
  const int interrupts = RouteInterrupts();  // before gRPC makes threads
  ScoreClient client(options.subject.server, *credentials);
  const StopOnInterrupt stop(interrupts, client);
  const absl::Status status = run(options, client);
  if (status.ok()) return 0;
  Note(std::string(status.message()));
  return kFailure;
}

struct Subcommand {
  std::string_view name;
  std::string_view purpose;
  std::function<int(std::span<const char* const>)> run;  // by its arguments; returns the exit code
};

int PrintVersion() {
  std::puts("sinkstream-eval " SINKSTREAM_VERSION);
  return 0;
}

template <typename Options>
Subcommand Make(std::string_view name, std::string_view purpose,
                std::vector<Flag> (*make_flags)(Options*),
                absl::Status (*run)(const Options&, ScoreClient&)) {
  return {name, purpose, [=](std::span<const char* const> arguments) {
            Options options;
            const std::vector<Flag> flags = make_flags(&options);
            const Request request = ReadRequest(flags, arguments);
            if (request == Request::kVersion) return PrintVersion();
            if (request == Request::kHelp) {
              absl::PrintF("sinkstream-eval %s: %s\n\n%s", name, purpose, DescribeFlags(flags));
              return 0;
            }
            const absl::Status parsed = ParseFlags(flags, arguments);
            if (parsed.ok()) return Run(options, run);
            Note(std::string(parsed.message()));
            return kUsage;
          }};
}

std::vector<Subcommand> Subcommands() {
  return {
      Make("perplexity", "how well the model predicts a text, under one policy", PerplexityFlags,
           RunPerplexity),
      Make("table", "dense, window, 1 to 8 sinks and recomputation side by side", TableFlags,
           RunTable),
      Make("recall", "facts asked for after a while: known while cached, gone when evicted",
           RecallFlags, RunRecall),
      Make("drift", "does it get worse, slower or bigger in a very long stream", DriftFlags,
           RunDrift),
  };
}

void PrintHelp() {
  std::printf(
      "sinkstream-eval: measures on a running server what attention sinks do for its model.\n\n"
      "  sinkstream-eval SUBCOMMAND --text FILE [flags]\n\n");
  for (const Subcommand& subcommand : Subcommands()) {
    absl::PrintF("  %-11s %s\n", subcommand.name, subcommand.purpose);
  }
  std::printf(
      "\n  sinkstream-eval SUBCOMMAND --help lists its flags.\n"
      "\nResults are on standard output and in the files asked for. Exit code: 0; 1 if it failed,\n"
      "with what was measured until then in those files; 2 for a bad command line.\n");
}

int Main(std::span<const char* const> arguments) {
  const std::string_view name = arguments.empty() ? "" : arguments.front();
  for (const Subcommand& subcommand : Subcommands()) {
    if (subcommand.name == name) return subcommand.run(arguments.subspan(1));
  }
  const Request request = ReadRequest({}, arguments.first(arguments.empty() ? 0 : 1));
  if (request == Request::kVersion) return PrintVersion();
  if (request == Request::kHelp || name == "help") {
    PrintHelp();
    return 0;
  }
  Note(name.empty()
           ? "no subcommand; --help lists them"
           : absl::StrCat("there is no subcommand '", std::string(name), "'; --help lists them"));
  return kUsage;
}

}  // namespace
}  // namespace sinkstream::eval

int main(int argc, char** argv) {
  // Results that nobody reads on standard output are still to be written to files.
  std::signal(SIGPIPE, SIG_IGN);
  sinkstream::SilenceLibraries();
  const int exit_code =
      sinkstream::eval::Main({argv + 1, static_cast<size_t>(argc > 0 ? argc - 1 : 0)});
  return sinkstream::FinishPrinting("sinkstream-eval", exit_code);
}
