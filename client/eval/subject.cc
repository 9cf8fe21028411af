#include "client/eval/subject.h"

#include <algorithm>
#include <cstdio>
#include <limits>

#include "absl/strings/str_cat.h"
#include "client/eval/console.h"
#include "client/eval/output_file.h"
#include "client/eval/text_file.h"
#include "client/eval/tokenize.h"

namespace sinkstream::eval {
namespace {

// Of one Tokenize call, where the server takes more.
constexpr int64_t kPieceBytes = 128 << 10;

absl::Status CheckAddress(std::string_view address) {
  // gRPC would take port 443.
  return address.find(':') == std::string_view::npos
             ? absl::InvalidArgumentError("must be ADDRESS:PORT")
             : absl::OkStatus();
}

}  // namespace

std::vector<Flag> SubjectFlags(Subject* subject) {
  Flag server = TextFlag("server", "ADDRESS:PORT", "the server (default: " + subject->server + ")",
                         &subject->server);
  server.set = [subject](std::string_view value) {
    subject->server = std::string(value);
    return CheckAddress(value);
  };
  return {
      Required(TextFlag("text", "FILE", "plain text, UTF-8", &subject->text)),
      IntegerFlag("skip-characters", "C", "leave out the first C characters of it (default: 0)",
                  &subject->skip_characters, 0),
      IntegerFlag("tokens", "N",
                  absl::StrCat("read the first N tokens of the rest; 0: all (default: ",
                               subject->tokens, ")"),
                  &subject->tokens, 0),
      server,
      IntegerFlag("parallel", "P", "calls at a time; no figure depends on it (default: 4)",
                  &subject->parallel, 1, 64),
  };
}

std::vector<Flag> WindowFlags(CacheFlags* cache) {
  return {
      IntegerFlag("sinks", "S", "first tokens that stay for ever (default: the server's)",
                  &cache->sinks, 0, std::numeric_limits<int32_t>::max()),
      IntegerFlag("window", "W", "recent tokens that stay (default: the server's)", &cache->window,
                  1, std::numeric_limits<int32_t>::max()),
  };
}

CacheFlags WithDefaults(const CacheFlags& cache, const v1::GetModelResponse& model) {
  return {.sinks = cache.sinks < 0 ? model.defaults().sinks() : cache.sinks,
          .window = cache.window < 0 ? model.defaults().window() : cache.window};
}

absl::StatusOr<std::vector<int32_t>> ReadIds(const Subject& subject, const LeastTokens& least,
                                             ScoreClient& client) {
  const auto text = ReadText(subject.text, subject.skip_characters);
  if (!text.ok()) return text.status();
  const absl::Status connected = client.Connect();
  if (!connected.ok()) return connected;
  const v1::Limits& limits = client.model().limits();
  const int64_t piece =
      std::min({kPieceBytes, limits.max_request_bytes(), int64_t{limits.max_request_tokens()}});
  const int64_t wanted = subject.tokens == 0 ? std::numeric_limits<int64_t>::max() : subject.tokens;
  const auto ids = TokenizeText(*text, wanted, static_cast<size_t>(piece),
                                [&](const std::string& part) { return client.Tokenize(part); });
  if (!ids.ok()) return ids.status();
  const int64_t tokens = std::ssize(*ids);
  if (tokens <= least.count) {
    return absl::InvalidArgumentError(absl::StrCat(tokens == wanted ? "--tokens" : subject.text,
                                                   ": ", tokens, " tokens; must be more than ",
                                                   least.name, ", ", least.count));
  }
  if (subject.tokens > tokens) {
    Note(absl::StrCat(subject.text, ": has ", tokens, " tokens, not ", subject.tokens));
  }
  return ids;
}

Json DescribeSubject(const Subject& subject, const v1::GetModelResponse& model) {
  return {{"model", model.name()},
          {"architecture", model.architecture()},
          {"weight_dtype", model.weight_dtype()},
          {"kv_dtype", model.kv_dtype()},
          {"trained_context", model.trained_context()},
          {"isa", model.isa()},
          {"server_version", model.server_version()},
          {"text", subject.text},
          {"skip_characters", subject.skip_characters}};
}

absl::Status CheckWritable(std::initializer_list<std::string> paths) {
  for (const std::string& path : paths) {
    const absl::Status status = path.empty() ? absl::OkStatus() : CheckWritable(path);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status KeepReport(const std::string& path, const std::string& content) {
  if (path.empty()) return absl::OkStatus();
  const absl::Status status = WriteWhole(path, content);
  if (status.ok()) return status;
  std::fwrite(content.data(), 1, content.size(), stdout);
  return absl::Status(status.code(),
                      absl::StrCat(status.message(), "; it is on standard output instead"));
}

absl::Status KeepReport(const std::string& path, const Json& report) {
  // A path or a text's name in it may be no UTF-8.
  return KeepReport(path, report.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

std::string IncompleteMark(const absl::Status& measured) {
  return measured.ok() ? "" : absl::StrCat("INCOMPLETE: ", std::string(measured.message()), "\n\n");
}

absl::Status FirstError(const absl::Status& measured, const absl::Status& kept,
                        std::initializer_list<std::string> paths) {
  if (measured.ok()) return kept;
  std::string where = "; what was measured until then is on standard output";
  const char* separator = " and in ";
  for (const std::string& path : paths) {
    if (path.empty() || !kept.ok()) continue;
    absl::StrAppend(&where, separator, path);
    separator = ", ";
  }
  return absl::Status(measured.code(), absl::StrCat(measured.message(), where));
}

}  // namespace sinkstream::eval
