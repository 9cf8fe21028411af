#include "client/loadgen/target.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/connection.h"
#include "client/tool/model_calls.h"
#include "client/tool/text_file.h"
#include "client/tool/tokenize.h"

namespace sinkstream::loadgen {
namespace {

// So much of a text is said, again and again.
constexpr int64_t kTextTokens = 65536;
// A session whose stream was dropped is attached again at once; without drops it ends with its
// stream, so that nothing is left of a load.
constexpr int64_t kIdleSecondsWithDrops = 60;

constexpr char kOwnText[] =
    "The harbour wakes before the town does. Boats that went out at midnight come back in a line,"
    " low in the water, and the gulls that followed them settle on the roofs of the sheds. A clerk"
    " with a lantern counts boxes: herring, mackerel, a few crabs for the inn. Two boys carry ice "
    "in"
    " a basket between them and argue about whose turn it is to sweep. Further up the street the"
    " baker opens his shutters, and the smell of bread goes down to the quay. What will be sold by"
    " noon is spread on wet stones; what is left goes to the smokehouse. An old woman mends a net"
    " and tells whoever listens about the winter when the sea froze as far as the lighthouse, and"
    " how they walked there on a Sunday, singing, with a sledge, a cake and a brass band.\n";

absl::Status CheckLimit(const char* flag, int64_t most, int64_t limit) {
  if (most <= limit) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("--", flag, ": up to ", most, "; at most ", limit, ", says the server"));
}

}  // namespace

absl::Status CheckLimits(const Workload& workload, const v1::Limits& limits) {
  absl::Status status = CheckLimit("max-tokens", workload.reply_tokens.most, limits.max_tokens());
  status.Update(
      CheckLimit("prompt-tokens", workload.prompt_tokens.most, limits.max_request_tokens()));
  return status;
}

absl::StatusOr<Target> Target::Connect(const std::string& server, const Credentials& credentials) {
  Target target;
  target.server_ = server;
  target.stub_ =
      v1::ChatService::NewStub(sinkstream::Connect(server, ClientPatience(), credentials));
  auto model = GetModel(*target.stub_);
  if (model.ok()) {
    target.model_ = *std::move(model);
    return target;
  }
  const absl::Status named = Named(server, model.status());
  return absl::Status(named.code(),
                      absl::StrCat(named.message(), ConnectionHint(model.status(), credentials)));
}

absl::StatusOr<Traffic> Target::MakeTraffic(const Options& options) {
  const absl::Status fits = CheckLimits(options.workload, model_.limits());
  if (!fits.ok()) return fits;
  Traffic traffic;
  traffic.workload = options.workload;
  if (!options.system_prompt.empty()) {
    auto prompt = sinkstream::ReadText(options.system_prompt, 0);
    if (!prompt.ok()) return prompt.status();
    traffic.open.set_system_prompt(*std::move(prompt));
  }
  if (options.sinks >= 0) traffic.open.set_sinks(static_cast<int32_t>(options.sinks));
  if (options.window >= 0) traffic.open.set_window(options.window);
  traffic.open.mutable_sampling()->set_temperature(options.temperature);
  traffic.open.mutable_sampling()->set_ignore_end_of_turn(options.ignore_end_of_turn);
  const bool drops = options.workload.drop_share > 0;
  traffic.open.mutable_idle_timeout()->set_seconds(drops ? kIdleSecondsWithDrops : 0);
  auto text = ReadText(options);
  if (!text.ok()) return text.status();
  traffic.text = *std::move(text);
  traffic.append_tokens =
      std::min<int64_t>(traffic.append_tokens, model_.limits().max_request_tokens());
  return traffic;
}

absl::StatusOr<std::vector<int32_t>> Target::ReadText(const Options& options) {
  absl::StatusOr<std::string> text = kOwnText;
  if (!options.text.empty()) text = sinkstream::ReadText(options.text, 0);
  if (!text.ok()) return text.status();
  return TokenizeText(*text, kTextTokens, PieceBytes(model_.limits()),
                      [this](const std::string& part) { return Tokenize(part); });
}

absl::StatusOr<std::vector<int32_t>> Target::Tokenize(const std::string& text) {
  auto ids = sinkstream::Tokenize(*stub_, text);
  return ids.ok() ? std::move(ids) : Named(server_, ids.status());
}

}  // namespace sinkstream::loadgen
