#include "client/tool/arguments.h"

#include <algorithm>
#include <limits>
#include <set>
#include <type_traits>
#include <utility>

#include "absl/flags/marshalling.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

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

template <typename T>
bool Parse(std::string_view text, T* target) {
  std::string error;
  return absl::ParseFlag(absl::string_view(text.data(), text.size()), target, &error);
}

// In one line, whatever is in it.
std::string Quoted(absl::string_view text) {
  return absl::StrCat("'", absl::Utf8SafeCEscape(text), "'");
}

template <typename T>
std::string DescribeValuesOf() {
  if constexpr (std::is_integral_v<T>) {
    using Limits = std::numeric_limits<T>;
    return absl::StrCat("a whole number in [", Limits::lowest(), ", ", Limits::max(), "]");
  } else {
    return "a number";
  }
}

struct Argument {
  explicit Argument(absl::string_view text) : name(text.substr(0, text.find('='))) {
    if (name.size() < text.size()) value = text.substr(name.size() + 1);
  }
  absl::string_view name;  // as it was typed, with its dashes
  std::optional<absl::string_view> value;
};

// Null: there is none.
const Flag* Find(std::span<const Flag> flags, absl::string_view typed) {
  if (!absl::ConsumePrefix(&typed, "--")) return nullptr;
  const std::string name = absl::StrReplaceAll(typed, {{"_", "-"}});
  const auto found = std::find_if(flags.begin(), flags.end(),
                                  [&name](const Flag& flag) { return flag.name == name; });
  return found == flags.end() ? nullptr : &*found;
}

bool HasValueApart(const Flag& flag, const Argument& argument) {
  return !argument.value && !flag.bare;
}

// Nothing: `typed` is neither --help nor --version.
std::optional<Request> RequestOf(absl::string_view typed) {
  if (typed == "--help" || typed == "-help" || typed == "-h") return Request::kHelp;
  if (typed == "--version" || typed == "-version") return Request::kVersion;
  return std::nullopt;
}

absl::Status NoFlag(absl::string_view typed) {
  const absl::string_view name = Argument(typed).name;
  if (RequestOf(name)) return absl::InvalidArgumentError(absl::StrCat(name, " takes no value"));
  if (!absl::StartsWith(typed, "--")) {
    return absl::InvalidArgumentError(
        absl::StrCat("unexpected argument ", Quoted(typed), "; --help lists the flags"));
  }
  return absl::InvalidArgumentError(
      absl::StrCat(absl::Utf8SafeCEscape(name), " is not a flag; --help lists them"));
}

absl::Status Fault(const Flag& flag, absl::string_view fault) {
  return absl::InvalidArgumentError(absl::StrCat("--", flag.name, ": ", fault));
}

absl::Status Set(const Flag& flag, absl::string_view value) {
  const absl::Status status = flag.set({value.data(), value.size()});
  if (status.ok()) return status;
  return Fault(flag, absl::StrCat("is ", Quoted(value), "; ", status.message()));
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

Flag SwitchFlag(std::string name, std::string help, bool* target) {
  Flag flag = {std::move(name), "", std::move(help), [target](std::string_view text) {
                 return Parse(text, target) ? absl::OkStatus()
                                            : absl::InvalidArgumentError("must be yes or no");
               }};
  flag.bare = true;
  return flag;
}

Flag DurationFlag(std::string name, std::string help, absl::Duration* target) {
  return {std::move(name), "DURATION", std::move(help), [target](std::string_view text) {
            return Parse(text, target)
                       ? absl::OkStatus()
                       : absl::InvalidArgumentError("must be a duration, like 30s or 2m");
          }};
}

template <typename T>
Flag OptionalFlag(std::string name, std::string value, std::string help, std::optional<T>* target) {
  return {std::move(name), std::move(value), std::move(help), [target](std::string_view text) {
            return Parse(text, target) ? absl::OkStatus()
                                       : absl::InvalidArgumentError(
                                             absl::StrCat("must be ", DescribeValuesOf<T>()));
          }};
}
template Flag OptionalFlag(std::string, std::string, std::string, std::optional<std::string>*);
template Flag OptionalFlag(std::string, std::string, std::string, std::optional<double>*);
template Flag OptionalFlag(std::string, std::string, std::string, std::optional<int32_t>*);
template Flag OptionalFlag(std::string, std::string, std::string, std::optional<int64_t>*);
template Flag OptionalFlag(std::string, std::string, std::string, std::optional<uint64_t>*);

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
    const bool path = text.substr(0, 5) == "unix:";
    const size_t colon = text.rfind(':');
    int port = 0;
    const bool has_port = colon != std::string_view::npos && colon > 0 &&
                          absl::SimpleAtoi(std::string(text.substr(colon + 1)), &port) &&
                          port > 0 && port <= 65535;
    return path || has_port
               ? absl::OkStatus()
               : absl::InvalidArgumentError("must be ADDRESS:PORT, the port from 1 to 65535");
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
      SwitchFlag("insecure-token",
                 "send it to other machines without encryption too, where whoever is on the way\n"
                 "      reads it",
                 &target->insecure_token),
  };
}

Flag Required(Flag flag) {
  flag.required = true;
  return flag;
}

Request ReadRequest(std::span<const Flag> flags, std::span<const char* const> arguments) {
  for (size_t i = 0; i < arguments.size(); ++i) {
    const Argument argument(arguments[i]);
    if (const auto request = RequestOf(argument.name); request && !argument.value) return *request;
    const Flag* flag = Find(flags, argument.name);
    if (flag && HasValueApart(*flag, argument)) ++i;
  }
  return Request::kRun;
}

absl::Status ParseFlags(std::span<const Flag> flags, std::span<const char* const> arguments) {
  std::set<const Flag*> given;
  for (size_t i = 0; i < arguments.size(); ++i) {
    Argument argument(arguments[i]);
    const Flag* flag = Find(flags, argument.name);
    if (!flag) return NoFlag(arguments[i]);
    if (HasValueApart(*flag, argument)) {
      if (++i == arguments.size()) return Fault(*flag, "has no value");
      argument.value = arguments[i];
    }
    const absl::Status status = Set(*flag, argument.value.value_or("yes"));
    if (!status.ok()) return status;
    given.insert(flag);
  }
  for (const Flag& flag : flags) {
    if (flag.required && !given.contains(&flag)) return Fault(flag, "is required");
  }
  return absl::OkStatus();
}

std::string DescribeFlags(std::span<const Flag> flags) {
  std::string text;
  for (const Flag& flag : flags) {
    absl::StrAppend(&text, "  --", flag.name, flag.bare ? "" : " ", flag.value,
                    flag.required ? "  (required)\n      " : "\n      ", flag.help, "\n");
  }
  return text;
}

}  // namespace sinkstream
