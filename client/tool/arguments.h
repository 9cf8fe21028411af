// The command line of a program or a subcommand: a table of flags, each given as --name VALUE or
// --name=VALUE, a switch as --name alone. A dash in a name may be typed as an underscore.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/credentials.h"

namespace sinkstream {

struct Flag {
  std::string name;   // "skip-characters"
  std::string value;  // what stands for the value in help: "FILE"; of a switch nothing
  std::string help;
  // Takes the value; an error says what it must be.
  std::function<absl::Status(std::string_view)> set;
  bool required = false;
  bool bare = false;  // a switch: --name is --name=yes, and takes no value that stands apart
};

// Each writes to `target`, which outlives the flag. Numbers outside of [least, most] are errors.
Flag TextFlag(std::string name, std::string value, std::string help, std::string* target);
Flag IntegerFlag(std::string name, std::string value, std::string help, int64_t* target,
                 int64_t least, int64_t most = INT64_MAX);
Flag NumberFlag(std::string name, std::string value, std::string help, double* target, double least,
                double most);
// "yes" or "no".
Flag YesNoFlag(std::string name, std::string help, bool* target);
// --name, or joined to it by '=' what Abseil takes for a truth: yes, no, true, false.
Flag SwitchFlag(std::string name, std::string help, bool* target);
// Abseil's: "30s", "2m", "0".
Flag DurationFlag(std::string name, std::string help, absl::Duration* target);
// `target` holds nothing unless the flag is given, or where its value is empty. T: std::string,
// double, int32_t, int64_t, uint64_t, without other bounds.
template <typename T>
Flag OptionalFlag(std::string name, std::string value, std::string help, std::optional<T>* target);
Flag IntegersFlag(std::string name, std::string value, std::string help,
                  std::vector<int64_t>* target, int64_t least, int64_t most = INT64_MAX);
// --server; `target` holds the default. gRPC would take port 443 where none is given.
Flag ServerFlag(std::string* target);
// --tls-ca, --tls-certificate, --tls-key, --token-file: none if empty; --insecure-token.
std::vector<Flag> CredentialFlags(CredentialFiles* target);
Flag Required(Flag flag);

// What a command line asks for, whatever else is on it.
enum class Request { kRun, kHelp, kVersion };

// By the first of --help, -help, -h, --version and -version that is not the value of a flag.
Request ReadRequest(std::span<const Flag> flags, std::span<const char* const> arguments);

// Sets what `arguments` give. INVALID_ARGUMENT, in one line for the user: an unknown flag, no value
// or a bad one, a required flag left out, or an argument that is no flag.
absl::Status ParseFlags(std::span<const Flag> flags, std::span<const char* const> arguments);

// A line or two for each flag, for --help.
std::string DescribeFlags(std::span<const Flag> flags);

}  // namespace sinkstream
