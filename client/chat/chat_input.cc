#include "client/chat/chat_input.h"

#include <array>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace sinkstream {
namespace {

struct CommandEntry {
  const char* name;
  ChatCommand command;
  const char* effect;
};

constexpr std::array kCommands = {
    CommandEntry{"/help", ChatCommand::kHelp, "this list"},
    CommandEntry{"/stats", ChatCommand::kStats, "speed and window after each reply, on or off"},
    CommandEntry{"/new", ChatCommand::kNew, "end this session and begin another"},
    CommandEntry{"/detach", ChatCommand::kDetach, "quit, but leave the session to come back to"},
    CommandEntry{"/quit", ChatCommand::kQuit,
                 "end the session and quit (as the end of input does)"},
};

ChatInput ParseCommand(const std::string& text) {
  const std::string name(absl::StripAsciiWhitespace(text));
  for (const CommandEntry& entry : kCommands) {
    if (name == entry.name) return entry.command;
  }
  return UnknownCommand{name};
}

}  // namespace

std::string DescribeCommands() {
  std::string description;
  for (const CommandEntry& entry : kCommands) {
    absl::StrAppend(&description, entry.name, "\t", entry.effect, "\n");
  }
  return description + "Ctrl-C\tends the reply; at the prompt, the chat\n";
}

std::optional<ChatInput> ChatInputParser::Push(std::string line) {
  continues_ = !line.empty() && line.back() == '\\';
  if (continues_) line.back() = '\n';
  text_ += line;
  if (continues_) return std::nullopt;
  std::string text = std::exchange(text_, {});
  if (absl::StripAsciiWhitespace(text).empty()) return std::nullopt;
  if (text.starts_with("//")) return text.substr(1);
  if (text.front() == '/') return ParseCommand(text);
  return text;
}

}  // namespace sinkstream
