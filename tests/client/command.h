// A program run by the shell, as its user would.
#pragma once

#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <string>

namespace sinkstream {

struct Outcome {
  std::string out;  // what it said on standard output
  int exit_code = -1;
};

inline Outcome RunCommand(const std::string& command) {
  Outcome outcome;
  FILE* process = popen(command.c_str(), "r");
  std::array<char, 256> bytes;
  while (const size_t count = fread(bytes.data(), 1, bytes.size(), process)) {
    outcome.out.append(bytes.data(), count);
  }
  outcome.exit_code = WEXITSTATUS(pclose(process));
  return outcome;
}

// To be put before a command of the shell's, whose standard output is then a pipe that nobody reads
// any more. `path`: of a file to make.
inline std::string IntoClosedPipe(const std::string& path) {
  return "mkfifo " + path + "; exec 3<>" + path + "; exec >" + path + " 3>&-; ";
}

}  // namespace sinkstream
