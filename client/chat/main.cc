// sinkstream-chat: a chat in the terminal, or with piped input a turn for each line.
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "client/chat/chat.h"
#include "client/chat/chat_input.h"
#include "client/chat/console.h"
#include "client/chat/options.h"
#include "client/silence_libraries.h"

namespace sinkstream {
namespace {

constexpr int kFailure = 1;

void PrintHelp(std::span<const Flag> flags) {
  std::printf(
      "sinkstream-chat: chats with a sinkstream server. In a terminal it is a conversation; with\n"
      "piped input each line is a turn and the replies are on standard output, the same each time\n"
      "unless --temperature or --seed says otherwise.\n\n"
      "  sinkstream-chat [flags]\n\n"
      "%s"
      "  --help, --version\n      print this or the version, and end\n"
      "\nIn a terminal:\n%s",
      DescribeFlags(flags).c_str(), DescribeCommands().c_str());
}

int Main(std::span<const char* const> arguments) {
  ChatOptions options;
  const std::vector<Flag> flags = ChatFlags(&options);
  const Request request = ReadRequest(flags, arguments);
  if (request == Request::kHelp) {
    PrintHelp(flags);
    return 0;
  }
  if (request == Request::kVersion) {
    std::puts("sinkstream-chat " SINKSTREAM_VERSION);
    return 0;
  }
  const absl::Status parsed = ParseFlags(flags, arguments);
  if (!parsed.ok()) {
    Note(parsed.message());
    return kFailure;
  }
  const auto credentials = LoadCredentials(options.credentials, options.server);
  if (!credentials.ok()) {
    Note(credentials.status().message());
    return kFailure;
  }
  if (options.check) return RunCheck(options, *credentials);
  return RunChat(options, *credentials, isatty(STDIN_FILENO) != 0);
}

}  // namespace
}  // namespace sinkstream

int main(int argc, char** argv) {
  // A reply that nobody reads is an error of its write: cancelled, and the session closed.
  std::signal(SIGPIPE, SIG_IGN);
  sinkstream::SilenceLibraries();
  return sinkstream::Main({argv + 1, static_cast<size_t>(argc > 0 ? argc - 1 : 0)});
}
