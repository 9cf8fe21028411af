// A program in a terminal of its own, as its user would see it.
#pragma once

#include <gtest/gtest.h>
#include <pty.h>
#include <signal.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <string>
#include <utility>
#include <vector>

namespace sinkstream {

class TerminalProcess {
 public:
  // `command`: the program's path and its arguments. `hangup`: what SIGHUP does to it, which its
  // parent may keep from it.
  explicit TerminalProcess(std::vector<std::string> command, sighandler_t hangup = SIG_DFL) {
    std::vector<char*> arguments;  // before there are two: a child of many threads takes no memory
    for (std::string& word : command) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    pid_ = forkpty(&terminal_, nullptr, nullptr, nullptr);
    if (pid_ == 0) {
      KeepOutputOnCtrlC();
      signal(SIGHUP, hangup);
      execv(arguments.front(), arguments.data());
      _exit(127);
    }
  }
  ~TerminalProcess() {
    CloseTerminal();
    if (pid_ > 0) kill(pid_, SIGKILL);
  }
  TerminalProcess(const TerminalProcess&) = delete;
  TerminalProcess& operator=(const TerminalProcess&) = delete;

  void Type(const std::string& keys) {
    EXPECT_EQ(write(terminal_, keys.data(), keys.size()), static_cast<ssize_t>(keys.size()));
  }
  // Reads the screen until it shows `text` after what was seen before; false if the process ends
  // without it.
  bool See(const std::string& text) {
    for (size_t found; (found = screen_.find(text, seen_)) == std::string::npos;) {
      std::array<char, 256> bytes;
      const ssize_t count = read(terminal_, bytes.data(), bytes.size());
      if (count <= 0) return false;
      screen_.append(bytes.data(), static_cast<size_t>(count));
    }
    seen_ = screen_.find(text, seen_) + text.size();
    return true;
  }
  void CloseTerminal() {
    if (terminal_ >= 0) close(std::exchange(terminal_, -1));
  }
  int ExitCode() {
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  const std::string& screen() const { return screen_; }

 private:
  // Else the terminal drops what nobody has read yet, an answer to the Ctrl-C among it.
  static void KeepOutputOnCtrlC() {
    termios settings;
    if (tcgetattr(STDIN_FILENO, &settings) != 0) _exit(126);
    settings.c_lflag |= NOFLSH;
    tcsetattr(STDIN_FILENO, TCSANOW, &settings);
  }

  int terminal_ = -1;
  pid_t pid_ = -1;
  std::string screen_;
  size_t seen_ = 0;
};

}  // namespace sinkstream
