#include "client/chat/options.h"

#include <utility>

namespace sinkstream {
namespace {

std::vector<Flag> ConnectionFlags(ChatOptions* options) {
  std::vector<Flag> flags = {ServerFlag(&options->server)};
  for (Flag& flag : CredentialFlags(&options->credentials)) flags.push_back(std::move(flag));
  flags.push_back(DurationFlag("wait",
                               "wait up to so long (30s, 2m) until the server's health service says"
                               " SERVING\n      (default: 0)",
                               &options->wait));
  flags.push_back(SwitchFlag("check",
                             "only ask the server's health service, without a chat: exit code 0 if"
                             " it says SERVING\n      (within --wait, or 2s)",
                             &options->check));
  return flags;
}

std::vector<Flag> SessionFlags(ChatOptions* options) {
  return {
      OptionalFlag("session", "ID",
                   "come back to this session; it stays alive at the end of piped input",
                   &options->session),
      OptionalFlag("system", "TEXT", "instructions that stay for ever (default: the model's own)",
                   &options->system),
      OptionalFlag("sinks", "S", "first tokens that stay for ever (default: the server's)",
                   &options->sinks),
      OptionalFlag("window", "W", "recent tokens that stay (default: the server's)",
                   &options->window),
  };
}

std::vector<Flag> TurnFlags(ChatOptions* options) {
  return {
      OptionalFlag("temperature", "T",
                   "0 is greedy (default: the session's, as for the flags below; with piped input"
                   " 0)",
                   &options->temperature),
      OptionalFlag("top-k", "K", "only the k likeliest tokens; 0 is off", &options->top_k),
      OptionalFlag("top-p", "P",
                   "the likeliest tokens that together reach this probability; 1 is off",
                   &options->top_p),
      OptionalFlag("seed", "SEED",
                   "the same seed and conversation give the same reply (default: a new one each"
                   " turn)",
                   &options->seed),
      OptionalFlag("max-tokens", "N", "most tokens of a reply", &options->max_tokens),
      SwitchFlag("stats", "say after each reply how fast it was and where the window stands",
                 &options->stats),
  };
}

}  // namespace

std::vector<Flag> ChatFlags(ChatOptions* options) {
  std::vector<Flag> flags = ConnectionFlags(options);
  for (const auto& group : {SessionFlags(options), TurnFlags(options)}) {
    flags.insert(flags.end(), group.begin(), group.end());
  }
  return flags;
}

}  // namespace sinkstream
