// sinkstream-chat: a chat in the terminal, or with piped input a turn for each line.
#include <google/protobuf/stubs/logging.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/flags/commandlineflag.h"
#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/reflection.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "client/chat/chat_input.h"
#include "client/session_client.h"
#include "client/terminal.h"
#include "client/utf8.h"

ABSL_FLAG(std::string, server, "127.0.0.1:50051",
          "ADDRESS:PORT of the server (default: 127.0.0.1:50051)");
ABSL_FLAG(std::string, tls_ca, "",
          "PEM file of roots that the server's certificate leads to: encrypts the connection "
          "(default: none, without encryption)");
ABSL_FLAG(std::string, tls_certificate, "",
          "PEM file of the certificate to show to a server that asks for one");
ABSL_FLAG(std::string, tls_key, "", "PEM file of its key");
ABSL_FLAG(std::string, token_file, "",
          "file that holds the bearer token to send to a server that asks for one");
ABSL_FLAG(bool, insecure_token, false,
          "send the token to another machine without encryption too, where whoever is on the way "
          "reads it");
ABSL_FLAG(
    absl::Duration, wait, absl::ZeroDuration(),
    "wait up to so long (30s, 2m) until the server's health service says SERVING (default: 0)");
ABSL_FLAG(bool, check, false,
          "only ask the server's health service, without a chat: exit code 0 if it says SERVING "
          "(within --wait, or 2s)");
ABSL_FLAG(std::string, session, "",
          "id of a session to come back to; it stays alive at the end of piped input");
ABSL_FLAG(std::optional<std::string>, system, std::nullopt,
          "instructions that stay for ever (default: the model's own)");
ABSL_FLAG(std::optional<int32_t>, sinks, std::nullopt,
          "first tokens that stay for ever (default: the server's)");
ABSL_FLAG(std::optional<int64_t>, window, std::nullopt,
          "recent tokens that stay (default: the server's)");
ABSL_FLAG(std::optional<double>, temperature, std::nullopt,
          "0 is greedy (default: the session's, as for the flags below; with piped input 0)");
ABSL_FLAG(std::optional<int32_t>, top_k, std::nullopt, "only the k likeliest tokens; 0 is off");
ABSL_FLAG(std::optional<double>, top_p, std::nullopt,
          "the likeliest tokens that together reach this probability; 1 is off");
ABSL_FLAG(std::optional<uint64_t>, seed, std::nullopt,
          "the same seed and conversation give the same reply (default: a new one each turn)");
ABSL_FLAG(std::optional<int32_t>, max_tokens, std::nullopt, "most tokens of a reply");
ABSL_FLAG(bool, stats, false, "say after each reply how fast it was and where the window stands");

namespace sinkstream {
namespace {

// A line about the chat, beside it: the replies alone are on standard output.
template <typename... Parts>
void Note(const Parts&... parts) {
  std::fprintf(stderr, "sinkstream-chat: %s\n", absl::StrCat(parts...).c_str());
}

std::string Explain(const absl::Status& status) {
  return absl::StrCat(absl::StatusCodeToString(status.code()), ": ", status.message());
}

v1::Open NewSession() {
  v1::Open open;
  if (const auto system = absl::GetFlag(FLAGS_system)) open.set_system_prompt(*system);
  if (const auto sinks = absl::GetFlag(FLAGS_sinks)) open.set_sinks(*sinks);
  if (const auto window = absl::GetFlag(FLAGS_window)) open.set_window(*window);
  return open;
}

v1::Open SessionById(const std::string& id) {
  v1::Open open;
  open.set_session_id(id);
  return open;
}

// Settings beside --session are handed on: the server says that they cannot be.
v1::Open SessionOfFlags() {
  v1::Open open = NewSession();
  open.set_session_id(absl::GetFlag(FLAGS_session));
  return open;
}

// Unless a reply is to be `sampled` as the session says, it is the likeliest one.
v1::Turn MakeTurn(const std::string& text, bool sampled) {
  v1::Turn turn;
  turn.set_text(text);
  v1::Sampling& sampling = *turn.mutable_sampling();
  const auto temperature = absl::GetFlag(FLAGS_temperature);
  if (temperature || !sampled) sampling.set_temperature(temperature.value_or(0));
  if (const auto value = absl::GetFlag(FLAGS_top_k)) sampling.set_top_k(*value);
  if (const auto value = absl::GetFlag(FLAGS_top_p)) sampling.set_top_p(*value);
  if (const auto value = absl::GetFlag(FLAGS_seed)) sampling.set_seed(*value);
  if (const auto value = absl::GetFlag(FLAGS_max_tokens)) sampling.set_max_tokens(*value);
  return turn;
}

absl::Status NotUtf8(const std::string& text) {
  constexpr size_t kShown = 60;
  return absl::InvalidArgumentError(
      absl::StrCat("not sent, it is not UTF-8: ", absl::CHexEscape(text.substr(0, kShown)),
                   text.size() > kShown ? "..." : ""));
}

// False if nobody can read it: the terminal is closed, or the other end of the pipe.
bool PrintText(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  return std::fflush(stdout) == 0;
}

double Seconds(const google::protobuf::Duration& duration) {
  return static_cast<double>(duration.seconds()) + duration.nanos() * 1e-9;
}

class Chat {
 public:
  Chat(const std::string& server, const Credentials& credentials, bool interactive)
      : server_(server),
        credentials_(credentials),
        interactive_(interactive),
        interrupts_(interactive ? RouteInterrupts() : -1),
        stats_(absl::GetFlag(FLAGS_stats)),
        client_(server, {}, credentials) {}

  // The exit code of the process.
  int Run() {
    if (!IsUtf8(absl::GetFlag(FLAGS_system).value_or(""))) {
      Note("--system is not UTF-8");
      return 1;
    }
    if (!Attach(SessionOfFlags())) return 1;
    return interactive_ ? Converse() : AnswerLines();
  }

 private:
  int Converse() {
    LineReader lines(STDIN_FILENO, interrupts_);
    ChatInputParser parser;
    while (client_.Attached()) {
      std::fputs(parser.Continues() ? ". " : "> ", stdout);
      std::fflush(stdout);
      const std::optional<std::string> line = lines.Next();
      if (!line) std::fputs("\n", stdout);
      const std::optional<ChatInput> input = line ? parser.Push(*line) : ChatCommand::kQuit;
      if (input && !std::visit([this](const auto& it) { return Do(it); }, *input)) return 1;
    }
    return 0;
  }

  int AnswerLines() {
    LineReader lines(STDIN_FILENO, interrupts_);
    bool all_answered = true;
    while (const std::optional<std::string> line = lines.Next()) {
      if (line->empty()) continue;
      all_answered &= Answer(*line);
      if (!client_.Attached()) return 1;
      if (std::ferror(stdout)) break;
    }
    const bool stays = !absl::GetFlag(FLAGS_session).empty();
    End(stays ? &SessionClient::Leave : &SessionClient::Close);
    return all_answered && !std::ferror(stdout) ? 0 : 1;
  }

  // Each Do: false if the chat cannot go on.
  bool Do(const std::string& text) {
    Answer(text);
    return client_.Attached() || Reattach();
  }

  bool Do(ChatCommand command) {
    switch (command) {
      case ChatCommand::kHelp:
        std::fputs(DescribeCommands().c_str(), stdout);
        return true;
      case ChatCommand::kStats:
        stats_ = !stats_;
        return true;
      case ChatCommand::kNew:
        End(&SessionClient::Close);
        return Attach(NewSession());
      case ChatCommand::kDetach:
        End(&SessionClient::Leave);
        Note("come back with --session=", session_id_);
        return true;
      case ChatCommand::kQuit:
        End(&SessionClient::Close);
        return true;
    }
    return true;
  }

  bool Do(const UnknownCommand& command) {
    Note("no command ", command.name, "; /help lists them, // begins text with a slash");
    return true;
  }

  // Around a call that waits for the server: Ctrl-C gives it up.
  InterruptWatch GiveUpOnInterrupt() {
    return InterruptWatch(interrupts_, [this](int) {
      given_up_ = true;
      client_.Abandon();
    });
  }

  // Of the session by `how`. What fails then is of no consequence: the server ends what is idle.
  void End(absl::Status (SessionClient::*how)()) {
    const InterruptWatch watch = GiveUpOnInterrupt();
    const absl::Status status = (client_.*how)();
    if (!status.ok()) Note("leaving session ", session_id_, ": ", Explain(status));
  }

  // False, and a note, if there is no session.
  bool Attach(const v1::Open& open) {
    const absl::StatusOr<v1::Opened> opened = WaitAndOpen(open);
    failure_ = given_up_ ? absl::CancelledError("given up") : opened.status();
    if (!failure_.ok()) {
      Note(server_, ": ", Explain(failure_), ConnectionHint(failure_, credentials_));
      return false;
    }
    Greet(*opened);
    return true;
  }

  // given_up_ afterwards: Ctrl-C came meanwhile, were it in the last moment.
  absl::StatusOr<v1::Opened> WaitAndOpen(const v1::Open& open) {
    given_up_ = false;
    const InterruptWatch watch = GiveUpOnInterrupt();
    const absl::Duration patience = absl::GetFlag(FLAGS_wait);
    if (patience > absl::ZeroDuration()) {
      const absl::Status serving = client_.WaitForServing(patience);
      if (!serving.ok()) return serving;
    }
    return client_.Open(open);
  }

  void Greet(const v1::Opened& opened) {
    session_id_ = opened.session_id();
    evicted_ = opened.evicted_tokens();
    if (!interactive_) return;
    Note(opened.resumed() ? "back in session " : "session ", session_id_, ": ", opened.sinks(),
         " tokens stay for ever, the last ", opened.window(), " beside them; /help for commands");
  }

  // After the stream has ended under a conversation, once.
  bool Reattach() {
    if (!absl::IsUnavailable(failure_)) return false;
    if (Attach(SessionById(session_id_))) {
      Note("the reply is lost: ask again");
      return true;
    }
    if (absl::IsNotFound(failure_)) return false;
    Note("the session may be there again later: --session=", session_id_);
    return false;
  }

  // One turn. False, and a note, if it fails; client_.Attached() tells whether the stream has ended
  // with it.
  bool Answer(const std::string& text) {
    const InterruptWatch watch(
        interrupts_, [this](int number) { number == 1 ? client_.Cancel() : client_.Abandon(); });
    const auto print = [this](const v1::ConverseResponse& event) {
      if (event.has_delta() && !PrintText(event.delta().text())) client_.Cancel();
    };
    const auto done = IsUtf8(text) ? client_.Turn(MakeTurn(text, Sampled()), print) : NotUtf8(text);
    std::fputs("\n", stdout);
    std::fflush(stdout);
    if (done.ok()) {
      PrintStats(*done);
      return true;
    }
    failure_ = done.status();
    Note(client_.Attached() ? "" : absl::StrCat("connection lost, session ", session_id_, ": "),
         Explain(done.status()));
    return false;
  }

  void PrintStats(const v1::TurnDone& done) {
    const v1::Usage& usage = done.usage();
    evicted_ += usage.evicted_tokens();
    if (!stats_) return;
    const double first = Seconds(done.timings().first_token());
    const double rest = Seconds(done.timings().total()) - first;
    const double later_tokens = static_cast<double>(usage.generated_tokens() - 1);
    const double speed = rest > 0 && later_tokens > 0 ? later_tokens / rest : 0;
    Note(
        absl::StrFormat("read %d tokens, wrote %d; first after %.2f s, then %.1f tokens/s; "
                        "%d tokens have left the window so far",
                        usage.prompt_tokens(), usage.generated_tokens(), first, speed, evicted_));
  }

  // A script gets the same reply each time, unless it asks for chance.
  bool Sampled() const { return interactive_ || absl::GetFlag(FLAGS_seed).has_value(); }

  const std::string server_;
  const Credentials credentials_;
  const bool interactive_;
  const int interrupts_;  // before client_: the signal is blocked before gRPC makes threads
  bool stats_;
  SessionClient client_;
  std::atomic<bool> given_up_ = false;  // by Ctrl-C
  std::string session_id_;
  int64_t evicted_ = 0;
  absl::Status failure_;  // of the last call that failed
};

// The exit code of --check. Says nothing if all is well: a watcher asks again and again.
int Check(const std::string& server, const Credentials& credentials) {
  constexpr absl::Duration kPatience = absl::Seconds(2);
  const absl::Duration wait = absl::GetFlag(FLAGS_wait);
  SessionClient client(server, {}, credentials);
  const absl::Status serving =
      wait > absl::ZeroDuration() ? client.WaitForServing(wait) : client.CheckServing(kPatience);
  if (!serving.ok()) Note(server, ": ", Explain(serving));
  return serving.ok() ? 0 : 1;
}

void PrintHelp() {
  std::printf(
      "sinkstream-chat: chats with a sinkstream server. In a terminal it is a conversation; with\n"
      "piped input each line is a turn and the replies are on standard output, the same each time\n"
      "unless --temperature or --seed says otherwise.\n\n"
      "  sinkstream-chat [flags]\n\n"
      "  --flagfile=FILE\n      Reads flags from a file, one a line.\n"
      "  --help, --version\n      Prints this or the version, and ends.\n");
  std::map<std::string, const absl::CommandLineFlag*> own;
  for (const auto& [name, flag] : absl::GetAllFlags()) {
    if (absl::EndsWith(flag->Filename(), "client/chat/main.cc"))
      own.emplace(std::string(name), flag);
  }
  for (const auto& [name, flag] : own) {
    std::printf("  --%s\n      %s\n", name.c_str(), flag->Help().c_str());
  }
  std::printf("\nIn a terminal:\n%s", DescribeCommands().c_str());
}

// True if help or the version was asked for: Abseil's own --help exits with 1.
bool Answered(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const absl::string_view argument = argv[i];
    if (argument == "--help" || argument == "-help" || argument == "-h") {
      PrintHelp();
      return true;
    }
    if (argument == "--version" || argument == "-version") {
      std::puts("sinkstream-chat " SINKSTREAM_VERSION);
      return true;
    }
  }
  return false;
}

// True of --NAME and --NAME=VALUE that Abseil knows no flag for. It would end the process and not
// tell where the flags are.
bool IsUnknownFlag(absl::string_view argument) {
  if (!absl::ConsumePrefix(&argument, "--") || argument.empty()) return false;
  argument = argument.substr(0, argument.find('='));
  if (absl::FindCommandLineFlag(argument) != nullptr) return false;
  return !absl::ConsumePrefix(&argument, "no") || absl::FindCommandLineFlag(argument) == nullptr;
}

}  // namespace
}  // namespace sinkstream

int main(int argc, char** argv) {
  // What the libraries log is told in one line already.
  setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);
  google::protobuf::SetLogHandler(nullptr);
  if (sinkstream::Answered(argc, argv)) return 0;
  const auto unknown = std::find_if(argv + 1, argv + argc, sinkstream::IsUnknownFlag);
  if (unknown != argv + argc) {
    sinkstream::Note(*unknown, " is not a flag; --help lists them");
    return 1;
  }
  const std::vector<char*> arguments = absl::ParseCommandLine(argc, argv);
  if (arguments.size() > 1) {
    sinkstream::Note("unexpected argument ", arguments[1], "; --help lists the flags");
    return 1;
  }
  const std::string server = absl::GetFlag(FLAGS_server);
  if (!absl::StrContains(server, ':')) {  // gRPC would take port 443
    sinkstream::Note("--server: is '", server, "'; must be ADDRESS:PORT");
    return 1;
  }
  const auto credentials = sinkstream::LoadCredentials(
      {absl::GetFlag(FLAGS_tls_ca), absl::GetFlag(FLAGS_tls_certificate),
       absl::GetFlag(FLAGS_tls_key), absl::GetFlag(FLAGS_token_file),
       absl::GetFlag(FLAGS_insecure_token)},
      server);
  if (!credentials.ok()) {
    sinkstream::Note(credentials.status().message());
    return 1;
  }
  if (absl::GetFlag(FLAGS_check)) return sinkstream::Check(server, *credentials);
  return sinkstream::Chat(server, *credentials, isatty(STDIN_FILENO) != 0).Run();
}
