// The command line of a subcommand: a table of flags, each given as --name VALUE or --name=VALUE.
// A dash in a name may be typed as an underscore.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "client/credentials.h"

namespace sinkstream {

struct Flag {
  std::string name;   // "skip-characters"
  std::string value;  // what stands for the value in help: "FILE"
  std::string help;
  // Takes the value; an error says what it must be.
  std::function<absl::Status(std::string_view)> set;
  bool required = false;
};

// Each writes to `target`, which outlives the flag. Numbers outside of [least, most] are errors.
Flag TextFlag(std::string name, std::string value, std::string help, std::string* target);
Flag IntegerFlag(std::string name, std::string value, std::string help, int64_t* target,
                 int64_t least, int64_t most = INT64_MAX);
Flag NumberFlag(std::string name, std::string value, std::string help, double* target, double least,
                double most);
// "yes" or "no".
Flag YesNoFlag(std::string name, std::string help, bool* target);
Flag IntegersFlag(std::string name, std::string value, std::string help,
                  std::vector<int64_t>* target, int64_t least, int64_t most = INT64_MAX);
// --server; `target` holds the default. gRPC would take port 443 where none is given.
Flag ServerFlag(std::string* target);
// --tls-ca, --tls-certificate, --tls-key, --token-file, --insecure-token.
std::vector<Flag> CredentialFlags(CredentialFiles* target);
Flag Required(Flag flag);

// Sets what `arguments` give. INVALID_ARGUMENT, in one line: an unknown flag, no value or a bad
// one, a required flag left out, or an argument that is no flag.
absl::Status ParseFlags(std::span<const Flag> flags, std::span<const char* const> arguments);

// A line or two for each flag, for --help.
std::string DescribeFlags(std::span<const Flag> flags);

}  // namespace sinkstream
