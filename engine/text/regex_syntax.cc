#include "engine/text/regex_syntax.h"

#include <array>
#include <cctype>
#include <string>

#include "absl/strings/str_cat.h"

namespace sinkstream {
namespace {

constexpr std::string_view kCategories =
    " L Lu Ll Lt Lm Lo M Mn Mc Me N Nd Nl No P Pc Pd Ps Pe Pi Pf Po S Sm Sc Sk So Z Zs Zl Zp "
    "C Cc Cf Co Cn ";

bool IsAlnum(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; }

class Checker {
 public:
  explicit Checker(std::string_view pattern) : rest_(pattern) {}

  absl::Status Check() {
    int depth = 0;
    while (!rest_.empty()) {
      if (absl::Status status = CheckOne(depth); !status.ok()) return status;
    }
    return depth == 0 ? absl::OkStatus() : Unsupported("a group without end");
  }

 private:
  absl::Status CheckOne(int& depth) {
    const char c = rest_.front();
    if (c == '(') {
      ++depth;
      return CheckGroupStart(depth);
    }
    if (c == ')') {
      rest_.remove_prefix(1);
      if (--depth < 0) return Unsupported("a ) without group");
      return CheckQuantifier(/*of_group=*/true);
    }
    if (c == '|') {
      rest_.remove_prefix(1);
      return absl::OkStatus();
    }
    if (absl::Status status = CheckAtom(); !status.ok()) return status;
    return CheckQuantifier(/*of_group=*/false);
  }

  absl::Status CheckAtom() {
    const char c = rest_.front();
    if (c == '\\') return CheckEscape();
    if (c == '[') return CheckClass();
    if (std::string_view("^$*+?{").find(c) != std::string_view::npos) {
      return Unsupported(std::string(1, c));
    }
    rest_.remove_prefix(1);
    return absl::OkStatus();
  }

  absl::Status CheckGroupStart(int& depth) {
    for (std::string_view start : {"(?:", "(?=", "(?!", "(?<=", "(?<!"}) {
      if (Consume(start)) return absl::OkStatus();
    }
    if (!Consume("(?i:")) return Unsupported("a group other than (?: (?= (?! (?<= (?<! (?i:");
    --depth;
    return CheckCaselessGroup();
  }

  // Up to its end. Pairs of letters that Unicode folds with one ligature or with ß, Oniguruma folds
  // too and PCRE2 does not.
  absl::Status CheckCaselessGroup() {
    const size_t end = rest_.find(')');
    if (end == std::string_view::npos) return Unsupported("a group without end");
    std::string body;
    for (char c : rest_.substr(0, end)) {
      if (c != '\'' && c != '|' && !std::isalpha(static_cast<unsigned char>(c))) {
        return Unsupported("(?i:...) of anything but ASCII letters, ' and |");
      }
      body += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    }
    for (const char* folded : {"ff", "fi", "fl", "ss", "st"}) {
      if (body.find(folded) != std::string::npos) {
        return Unsupported(absl::StrCat("(?i:...) with ", folded));
      }
    }
    rest_.remove_prefix(end + 1);
    return CheckQuantifier(/*of_group=*/true);
  }

  absl::Status CheckEscape() {
    if (rest_.size() < 2) return Unsupported("a \\ at the end");
    const char c = rest_[1];
    if (c == 'p' || c == 'P') return CheckCategory();
    if (IsAlnum(c) && std::string_view("rntsSdD").find(c) == std::string_view::npos) {
      return Unsupported(std::string(rest_.substr(0, 2)));
    }
    rest_.remove_prefix(2);
    return absl::OkStatus();
  }

  absl::Status CheckCategory() {
    const size_t end = rest_.find('}');
    if (rest_.size() < 3 || rest_[2] != '{' || end == std::string_view::npos) {
      return Unsupported("\\p without {..}");
    }
    const std::string name(rest_.substr(3, end - 3));
    if (name.empty() || kCategories.find(" " + name + " ") == std::string_view::npos) {
      return Unsupported(absl::StrCat("\\p{", name, "}"));
    }
    rest_.remove_prefix(end + 1);
    return absl::OkStatus();
  }

  absl::Status CheckClass() {
    rest_.remove_prefix(1);
    Consume("^");
    if (!rest_.empty() && rest_.front() == ']') return Unsupported("an empty class");
    for (char before = '\0'; !rest_.empty() && rest_.front() != ']';) {
      if (rest_.front() == '[') {
        if (before == '-') return Unsupported("- before a class inside a class");
        if (absl::Status status = CheckNestedClass(); !status.ok()) return status;
        continue;
      }
      if (rest_.substr(0, 2) == "&&") return Unsupported("&& inside a class");
      before = rest_.front();
      if (rest_.front() == '\\') {
        if (absl::Status status = CheckEscape(); !status.ok()) return status;
      } else {
        rest_.remove_prefix(1);
      }
    }
    if (rest_.empty()) return Unsupported("a class without end");
    rest_.remove_prefix(1);
    return absl::OkStatus();
  }

  absl::Status CheckNestedClass() {
    rest_.remove_prefix(1);
    const size_t end = rest_.find(']');
    const std::string_view body = rest_.substr(0, end == std::string_view::npos ? 0 : end);
    if (body.empty() || body.find_first_of("[:^-\\&") != std::string_view::npos) {
      return Unsupported("[ inside a class, but for plain characters");
    }
    rest_.remove_prefix(end + 1);
    if (!rest_.empty() && rest_.front() == '-')
      return Unsupported("- after a class inside a class");
    return absl::OkStatus();
  }

  absl::Status CheckQuantifier(bool of_group) {
    if (rest_.empty()) return absl::OkStatus();
    const bool braces = rest_.front() == '{';
    if (!braces && std::string_view("?*+").find(rest_.front()) == std::string_view::npos) {
      return absl::OkStatus();
    }
    if (of_group && rest_.front() != '?') return Unsupported("a repeated group");
    if (!braces) {
      rest_.remove_prefix(1);
      if (!Consume("+")) Consume("?");
    } else {
      if (absl::Status status = CheckBraces(); !status.ok()) return status;
    }
    if (!rest_.empty() && std::string_view("?*+{").find(rest_.front()) != std::string_view::npos) {
      return Unsupported("a quantifier after a quantifier");
    }
    return absl::OkStatus();
  }

  absl::Status CheckBraces() {
    const size_t end = rest_.find('}');
    const std::string_view body = rest_.substr(1, end == std::string_view::npos ? 0 : end - 1);
    if (body.empty() || body.front() == ',' ||
        body.find_first_not_of("0123456789,") != std::string_view::npos ||
        body.find(',') != body.rfind(',')) {
      return Unsupported("braces other than {n} {n,} {n,m}");
    }
    const bool exact = body.find(',') == std::string_view::npos;
    rest_.remove_prefix(end + 1);
    if (exact && !rest_.empty() && rest_.front() == '?') return Unsupported("{n}?");
    Consume("?");
    return absl::OkStatus();
  }

  bool Consume(std::string_view text) {
    if (rest_.substr(0, text.size()) != text) return false;
    rest_.remove_prefix(text.size());
    return true;
  }

  static absl::Status Unsupported(const std::string& what) {
    return absl::InvalidArgumentError(absl::StrCat("unsupported in a regular expression: ", what));
  }

  std::string_view rest_;
};

}  // namespace

absl::Status CheckRegexSyntax(std::string_view pattern) { return Checker(pattern).Check(); }

std::string WithoutNestedClasses(std::string_view pattern) {
  std::string flat;
  int depth = 0;
  for (size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '\\') {
      flat += pattern.substr(i++, 2);
      continue;
    }
    const bool closes = c == ']' && depth > 0;
    if (c == '[') ++depth;
    if ((c != '[' && !closes) || depth == 1) flat += c;
    if (closes) --depth;
  }
  return flat;
}

}  // namespace sinkstream
