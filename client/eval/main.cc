// sinkstream-eval: how well attention sinks serve a model, measured on a running server.
#include <google/protobuf/stubs/logging.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
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
#include "client/terminal.h"
#include "client/tool/arguments.h"

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
int Run(std::span<const char* const> arguments, std::vector<Flag> (*flags)(Options*),
        absl::Status (*run)(const Options&, ScoreClient&)) {
  Options options;
  absl::Status status = ParseFlags(flags(&options), arguments);
  if (!status.ok()) {
    Note(absl::StrCat(status.message(), "; --help lists the flags"));
    return kUsage;
  }
  const auto credentials = LoadCredentials(options.subject.credentials, options.subject.server);
  if (!credentials.ok()) {
    Note(std::string(credentials.status().message()));
    return kFailure;
  }
  const int interrupts = RouteInterrupts();  // before gRPC makes threads
  ScoreClient client(options.subject.server, *credentials);
  const StopOnInterrupt stop(interrupts, client);
  status = run(options, client);
  if (status.ok()) return 0;
  Note(std::string(status.message()));
  return kFailure;
}

template <typename Options>
std::string Describe(std::vector<Flag> (*flags)(Options*)) {
  Options options;
  return DescribeFlags(flags(&options));
}

struct Subcommand {
  std::string_view name;
  std::string_view purpose;
  std::function<int(std::span<const char* const>)> run;
  std::function<std::string()> flags;
};

template <typename Options>
Subcommand Make(std::string_view name, std::string_view purpose,
                std::vector<Flag> (*flags)(Options*),
                absl::Status (*run)(const Options&, ScoreClient&)) {
  return {name, purpose,
          [=](std::span<const char* const> arguments) { return Run(arguments, flags, run); },
          [=] { return Describe(flags); }};
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

bool Asks(std::span<const char* const> arguments, std::string_view flag) {
  for (const std::string_view argument : arguments) {
    if (argument == flag || argument == flag.substr(1)) return true;
  }
  return false;
}

int Main(std::span<const char* const> arguments) {
  const std::string_view name = arguments.empty() ? "" : arguments.front();
  for (const Subcommand& subcommand : Subcommands()) {
    if (subcommand.name != name) continue;
    arguments = arguments.subspan(1);
    if (!Asks(arguments, "--help")) return subcommand.run(arguments);
    absl::PrintF("sinkstream-eval %s: %s\n\n%s", subcommand.name, subcommand.purpose,
                 subcommand.flags());
    return 0;
  }
  if (Asks(arguments, "--help") || name == "help") {
    PrintHelp();
    return 0;
  }
  if (Asks(arguments, "--version")) {
    std::puts("sinkstream-eval " SINKSTREAM_VERSION);
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
  // What the libraries log is told in one line already.
  setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);
  google::protobuf::SetLogHandler(nullptr);
  return sinkstream::eval::Main({argv + 1, static_cast<size_t>(argc > 0 ? argc - 1 : 0)});
}
