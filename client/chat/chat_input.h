// What a person types at the prompt of the terminal chat: text for the model, or a command that
// begins with '/'.
#pragma once

#include <optional>
#include <string>
#include <variant>

namespace sinkstream {

enum class ChatCommand { kHelp, kStats, kNew, kDetach, kQuit };

struct UnknownCommand {
  std::string name;  // as it was typed
  friend bool operator==(const UnknownCommand&, const UnknownCommand&) = default;
};

using ChatInput = std::variant<std::string, ChatCommand, UnknownCommand>;

// One line for each command: its name and what it does.
std::string DescribeCommands();

// Makes inputs of typed lines. A line that ends with a backslash goes on in the next one; "//" at
// the beginning is text that begins with a slash; white space around a command does not matter.
class ChatInputParser {
 public:
  // `line` without its end. Nothing if the input is empty so far or goes on in the next line.
  std::optional<ChatInput> Push(std::string line);

  // True if the last line ended with a backslash.
  bool Continues() const { return continues_; }

 private:
  std::string text_;
  bool continues_ = false;
};

}  // namespace sinkstream
