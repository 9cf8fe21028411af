#include "client/chat/chat.h"

#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <optional>
#include <string>
#include <variant>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/chat/chat_input.h"
#include "client/chat/console.h"
#include "client/session_client.h"
#include "client/terminal.h"
#include "client/tool/standard_output.h"
#include "client/utf8.h"
#include "client/wire_duration.h"

namespace sinkstream {
namespace {

std::string Explain(const absl::Status& status) {
  return absl::StrCat(absl::StatusCodeToString(status.code()), ": ", status.message());
}

v1::Open NewSession(const ChatOptions& options) {
  v1::Open open;
  if (options.system) open.set_system_prompt(*options.system);
  if (options.sinks) open.set_sinks(*options.sinks);
  if (options.window) open.set_window(*options.window);
  return open;
}

v1::Open SessionById(const std::string& id) {
  v1::Open open;
  open.set_session_id(id);
  return open;
}

// Settings beside --session are handed on: the server says that they cannot be.
v1::Open SessionOf(const ChatOptions& options) {
  v1::Open open = NewSession(options);
  if (options.session) open.set_session_id(*options.session);
  return open;
}

// Unless a reply is to be `sampled` as the session says, it is the likeliest one.
v1::Turn MakeTurn(const std::string& text, const ChatOptions& options, bool sampled) {
  v1::Turn turn;
  turn.set_text(text);
  v1::Sampling& sampling = *turn.mutable_sampling();
  if (options.temperature || !sampled) {
    sampling.set_temperature(options.temperature.value_or(0));
  }
  if (options.top_k) sampling.set_top_k(*options.top_k);
  if (options.top_p) sampling.set_top_p(*options.top_p);
  if (options.seed) sampling.set_seed(*options.seed);
  if (options.max_tokens) sampling.set_max_tokens(*options.max_tokens);
  return turn;
}

absl::Status NotUtf8(const std::string& text) {
  constexpr size_t kShown = 60;
  return absl::InvalidArgumentError(
      absl::StrCat("not sent, it is not UTF-8: ", absl::CHexEscape(text.substr(0, kShown)),
                   text.size() > kShown ? "..." : ""));
}

// A reply's piece. False if nobody can read it: the terminal is closed, or the other end of the
// pipe.
bool PrintPiece(const std::string& text) {
  PrintText(text);
  return std::fflush(stdout) == 0;
}

class Chat {
 public:
  Chat(const ChatOptions& options, const Credentials& credentials, bool interactive)
      : options_(options),
        credentials_(credentials),
        interactive_(interactive),
        interrupts_(interactive ? RouteInterrupts() : -1),
        stats_(options.stats),
        client_(options.server, {}, credentials) {}

  // The exit code of the process.
  int Run() {
    if (!IsUtf8(options_.system.value_or(""))) {
      Note("--system is not UTF-8");
      return 1;
    }
    if (!Attach(SessionOf(options_))) return 1;
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
    End(options_.session ? &SessionClient::Leave : &SessionClient::Close);
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
        return Attach(NewSession(options_));
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
      Note(options_.server, ": ", Explain(failure_), ConnectionHint(failure_, credentials_));
      return false;
    }
    Greet(*opened);
    return true;
  }

  // given_up_ afterwards: Ctrl-C came meanwhile, were it in the last moment.
  absl::StatusOr<v1::Opened> WaitAndOpen(const v1::Open& open) {
    given_up_ = false;
    const InterruptWatch watch = GiveUpOnInterrupt();
    if (options_.wait > absl::ZeroDuration()) {
      const absl::Status serving = client_.WaitForServing(options_.wait);
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
    if (absl::IsNotFound(failure_) || absl::IsDataLoss(failure_)) return false;
    Note("the session may be there again later: --session=", session_id_);
    return false;
  }

  // One turn. False, and a note, if it fails; client_.Attached() tells whether the stream has ended
  // with it.
  bool Answer(const std::string& text) {
    const InterruptWatch watch(
        interrupts_, [this](int number) { number == 1 ? client_.Cancel() : client_.Abandon(); });
    bool read = true;
    const auto print = [&](const v1::ConverseResponse& event) {
      if (!read || !event.has_delta()) return;
      read = PrintPiece(event.delta().text());
      if (!read) client_.Cancel();
    };
    const auto done =
        IsUtf8(text) ? client_.Turn(MakeTurn(text, options_, Sampled()), print) : NotUtf8(text);
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
    const double first = absl::ToDoubleSeconds(ToAbsl(done.timings().first_token()));
    const double rest = absl::ToDoubleSeconds(ToAbsl(done.timings().total())) - first;
    const double later_tokens = static_cast<double>(usage.generated_tokens() - 1);
    const double speed = rest > 0 && later_tokens > 0 ? later_tokens / rest : 0;
    Note(
        absl::StrFormat("read %d tokens, wrote %d; first after %.2f s, then %.1f tokens/s; "
                        "%d tokens have left the window so far",
                        usage.prompt_tokens(), usage.generated_tokens(), first, speed, evicted_));
  }

  // A script gets the same reply each time, unless it asks for chance.
  bool Sampled() const { return interactive_ || options_.seed.has_value(); }

  const ChatOptions options_;
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

}  // namespace

int RunChat(const ChatOptions& options, const Credentials& credentials, bool interactive) {
  return Chat(options, credentials, interactive).Run();
}

int RunCheck(const ChatOptions& options, const Credentials& credentials) {
  constexpr absl::Duration kPatience = absl::Seconds(2);
  SessionClient client(options.server, {}, credentials);
  const absl::Status serving = options.wait > absl::ZeroDuration()
                                   ? client.WaitForServing(options.wait)
                                   : client.CheckServing(kPatience);
  if (!serving.ok()) Note(options.server, ": ", Explain(serving));
  return serving.ok() ? 0 : 1;
}

}  // namespace sinkstream
