#include "client/eval/subject.h"

#include <limits>

#include "absl/strings/str_cat.h"
#include "client/eval/console.h"
#include "client/tool/model_calls.h"
#include "client/tool/text_file.h"
#include "client/tool/tokenize.h"

namespace sinkstream::eval {
std::vector<Flag> SubjectFlags(Subject* subject) {
  std::vector<Flag> flags = {
      Required(TextFlag("text", "FILE", "plain text, UTF-8", &subject->text)),
      IntegerFlag("skip-characters", "C", "leave out the first C characters of it (default: 0)",
                  &subject->skip_characters, 0),
      IntegerFlag("tokens", "N",
                  absl::StrCat("read the first N tokens of the rest; 0: all (default: ",
                               subject->tokens, ")"),
                  &subject->tokens, 0),
      ServerFlag(&subject->server),
      IntegerFlag("parallel", "P", "calls at a time; no figure depends on it (default: 4)",
                  &subject->parallel, 1, 64),
  };
  for (Flag& flag : CredentialFlags(&subject->credentials)) flags.push_back(std::move(flag));
  return flags;
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
  const int64_t wanted = subject.tokens == 0 ? std::numeric_limits<int64_t>::max() : subject.tokens;
  const auto ids = TokenizeText(*text, wanted, PieceBytes(client.model().limits()),
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

}  // namespace sinkstream::eval
