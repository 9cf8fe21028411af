#include "client/tool/arguments.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"

namespace sinkstream {
namespace {

absl::Status ParseInteger(std::string_view text, int64_t least, int64_t most, int64_t* target) {
  if (absl::SimpleAtoi(absl::string_view(text.data(), text.size()), target) && *target >= least &&
      *target <= most) {
    return absl::OkStatus();
  }
  const std::string bound = most == INT64_MAX ? absl::StrCat("of at least ", least)
                                              : absl::StrCat("in [", least, ", ", most, "]");
  return absl::InvalidArgumentError(absl::StrCat("must be a whole number ", bound));
}

const Flag* Find(std::span<const Flag> flags, std::string_view name) {
  const auto found = std::find_if(flags.begin(), flags.end(),
                                  [name](const Flag& flag) { return flag.name == name; });
  return found == flags.end() ? nullptr : &*found;
}

absl::Status Set(const Flag& flag, std::string_view value) {
  const absl::Status status = flag.set(value);
  if (status.ok()) return status;
  return absl::InvalidArgumentError(absl::StrCat("--", flag.name, ": is '",
                                                 absl::string_view(value.data(), value.size()),
                                                 "'; ", status.message()));
}

}  // namespace

Flag TextFlag(std::string name, std::string value, std::string help, std::string* target) {
  return {std::move(name), std::move(value), std::move(help), [target](std::string_view text) {
            *target = std::string(text);
            return text.empty() ? absl::InvalidArgumentError("must not be empty")
                                : absl::OkStatus();
          }};
}

Flag IntegerFlag(std::string name, std::string value, std::string help, int64_t* target,
                 int64_t least, int64_t most) {
  return {std::move(name), std::move(value), std::move(help),
          [=](std::string_view text) { return ParseInteger(text, least, most, target); }};
}

Flag NumberFlag(std::string name, std::string value, std::string help, double* target, double least,
                double most) {
  return {std::move(name), std::move(value), std::move(help), [=](std::string_view text) {
            const bool number =
                absl::SimpleAtod(absl::string_view(text.data(), text.size()), target);
            return number && *target >= least && *target <= most
                       ? absl::OkStatus()
                       : absl::InvalidArgumentError(
                             absl::StrCat("must be a number in [", least, ", ", most, "]"));
          }};
}

Flag YesNoFlag(std::string name, std::string help, bool* target) {
  return {std::move(name), "yes|no", std::move(help), [target](std::string_view text) {
            *target = text == "yes";
            return *target || text == "no" ? absl::OkStatus()
                                           : absl::InvalidArgumentError("must be yes or no");
          }};
}

Flag IntegersFlag(std::string name, std::string value, std::string help,
                  std::vector<int64_t>* target, int64_t least, int64_t most) {
  const auto set = [=](std::string_view text) {
    target->clear();
    for (const auto part : absl::StrSplit(absl::string_view(text.data(), text.size()), ',')) {
      const absl::Status status =
          ParseInteger({part.data(), part.size()}, least, most, &target->emplace_back());
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  };
  return {std::move(name), std::move(value), std::move(help), set};
}

Flag ServerFlag(std::string* target) {
  Flag flag = TextFlag("server", "ADDRESS:PORT",
                       absl::StrCat("the server (default: ", *target, ")"), target);
  flag.set = [target](std::string_view text) {
    *target = std::string(text);
    return text.find(':') == std::string_view::npos
               ? absl::InvalidArgumentError("must be ADDRESS:PORT")
               : absl::OkStatus();
  };
  return flag;
}

std::vector<Flag> CredentialFlags(CredentialFiles* target) {
  return {
      TextFlag("tls-ca", "FILE",
               "PEM: roots that the server's certificate leads to; encrypts the connection\n"
               "      (default: none, without encryption)",
               &target->tls_ca),
      TextFlag("tls-certificate", "FILE",
               "PEM: the certificate to show to a server that asks for one",
               &target->tls_certificate),
      TextFlag("tls-key", "FILE", "PEM: its key", &target->tls_key),
      TextFlag("token-file", "FILE", "holds the bearer token to send to a server that asks for one",
               &target->token_file),
      YesNoFlag("insecure-token", "send it to other machines without encryption too (default: no)",
                &target->insecure_token),
  };
}

Flag Required(Flag flag) {
  flag.required = true;
  return flag;
}

absl::Status ParseFlags(std::span<const Flag> flags, std::span<const char* const> arguments) {
  std::set<std::string> given;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const absl::string_view argument = arguments[i];
    if (argument.substr(0, 2) != "--") {
      return absl::InvalidArgumentError(absl::StrCat("unexpected argument '", argument, "'"));
    }
    const std::pair<std::string, std::string> parts =
        absl::StrSplit(argument.substr(2), absl::MaxSplits('=', 1));
    const std::string name = absl::StrReplaceAll(parts.first, {{"_", "-"}});
    const Flag* flag = Find(flags, name);
    if (!flag) return absl::InvalidArgumentError(absl::StrCat("there is no flag --", name));
    const bool joined = argument.find('=') != absl::string_view::npos;
    if (!joined && ++i == arguments.size()) {
      return absl::InvalidArgumentError(absl::StrCat("--", name, ": has no value"));
    }
    const absl::Status status = Set(*flag, joined ? parts.second : arguments[i]);
    if (!status.ok()) return status;
    given.insert(name);
  }
  for (const Flag& flag : flags) {
    if (flag.required && !given.contains(flag.name)) {
      return absl::InvalidArgumentError(absl::StrCat("--", flag.name, ": is required"));
    }
  }
  return absl::OkStatus();
}

std::string DescribeFlags(std::span<const Flag> flags) {
  std::string text;
  for (const Flag& flag : flags) {
    absl::StrAppend(&text, "  --", flag.name, " ", flag.value,
                    flag.required ? "  (required)\n      " : "\n      ", flag.help, "\n");
  }
  return text;
}

}  // namespace sinkstream
