#include "client/loadgen/options.h"

#include <limits>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"

namespace sinkstream::loadgen {
namespace {

constexpr double kMostSeconds = 7 * 24 * 3600;
constexpr int64_t kMostSessions = 100'000;
constexpr int64_t kMostTokens = 100'000'000;

Flag Noting(Flag flag, bool* given) {
  flag.set = [set = std::move(flag.set), given](std::string_view text) {
    *given = true;
    return set(text);
  };
  return flag;
}

Flag SecondsFlag(std::string name, std::string help, absl::Duration* target, double least = 0) {
  return {std::move(name), "SECONDS", std::move(help), [target, least](std::string_view text) {
            double seconds = 0;
            const absl::Status status =
                NumberFlag("", "", "", &seconds, least, kMostSeconds).set(text);
            *target = absl::Seconds(seconds);
            return status;
          }};
}

// `Duration`: absl's, or an optional one.
template <typename Duration>
Flag MillisecondsFlag(std::string name, std::string help, Duration* target, double most = 1e9) {
  return {std::move(name), "MS", std::move(help), [target, most](std::string_view text) {
            double milliseconds = 0;
            const absl::Status status = NumberFlag("", "", "", &milliseconds, 0, most).set(text);
            *target = absl::Milliseconds(milliseconds);
            return status;
          }};
}

Flag DistributionFlag(std::string name, std::string value, std::string help, Distribution* target,
                      int64_t least, int64_t most) {
  return {std::move(name), std::move(value), std::move(help), [=](std::string_view text) {
            const auto distribution = ParseDistribution(text, least, most);
            if (distribution.ok()) *target = *distribution;
            return distribution.status();
          }};
}

Flag ShareFlag(std::string name, std::string help, double* target) {
  return NumberFlag(std::move(name), "SHARE", std::move(help), target, 0, 1);
}

std::vector<Flag> ShapeFlags(Options* options) {
  Workload& load = options->workload;
  GivenFlags* const given = &options->given;
  return {
      Noting(IntegerFlag("sessions", "N",
                         "closed loop: so many sessions at a time, each of which has its next turn"
                         " after\n      a reply and --think-ms (default: 8)",
                         &load.sessions, 1, kMostSessions),
             &given->sessions),
      NumberFlag("rate", "R",
                 "open loop: R sessions arrive a second, as a Poisson process, whatever the server"
                 " does;\n      needs --duration",
                 &load.rate, 1e-3, 1e5),
      IntegersFlag("sweep", "N,N,...",
                   "one closed loop after the other, with so many sessions: a table of all, and"
                   " --plot",
                   &options->sweep, 1, kMostSessions),
      IntegerFlag("turns", "T", "turns of a session (default: 4)", &load.turns, 1, kMostTokens),
      SecondsFlag("duration",
                  "measure for so long: sessions arrive, or take the place of those that have had\n"
                  "      their turns (default: until each of --sessions has had its turns)",
                  &load.duration, 1e-3),
      Noting(SecondsFlag("warmup", "with --duration: first so long without measuring (default: 0)",
                         &load.warmup),
             &given->warmup),
      Noting(IntegerFlag("warmup-turns", "K",
                         "without --duration: each session first has K turns that are not measured;"
                         " then all\n      begin together (default: 1)",
                         &load.warmup_turns, 0, kMostTokens),
             &given->warmup_turns),
      SecondsFlag("ramp",
                  "the sessions of a closed loop begin one by one over so long; the rate of an open"
                  " one\n      rises from 0 (default: 0)",
                  &load.ramp),
      Noting(SecondsFlag("grace",
                         "after --duration, wait so long for turns that were due in it; those that"
                         " remain\n      count as DEADLINE_EXCEEDED (default: 60)",
                         &options->grace),
             &given->grace),
      IntegerFlag("seed", "SEED", "of all that is drawn by lot (default: 1)", &load.seed, 0),
  };
}

std::vector<Flag> TurnFlags(Options* options) {
  Workload& load = options->workload;
  GivenFlags* const given = &options->given;
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
  return {
      DistributionFlag("prompt-tokens", "LENGTH", "tokens of a turn (default: 16)",
                       &load.prompt_tokens, 1, kMost),
      DistributionFlag("max-tokens", "LENGTH", "most tokens of a reply (default: 128)",
                       &load.reply_tokens, 1, kMost),
      DistributionFlag("think-ms", "LENGTH", "from a reply to the next turn (default: 0)",
                       &load.think_ms, 0, 1'000'000'000),
      DistributionFlag("history-tokens", "LENGTH",
                       "read at the start of a long session, before its first turn (default: 0)",
                       &load.history_tokens, 0, kMostTokens),
      Noting(ShareFlag("long-share", "of the sessions that are long ones (default: 1)",
                       &load.long_share),
             &given->long_share),
      ShareFlag("slow-share", "of the sessions that read slowly (default: 0)", &load.slow_share),
      Noting(MillisecondsFlag("read-delay-ms", "of those, after each delta (default: 200)",
                              &load.read_delay, 10'000),
             &given->read_delay),
      ShareFlag("cancel-share", "of the turns that are cancelled in their reply (default: 0)",
                &load.cancel_share),
      ShareFlag("drop-share",
                "of the turns in whose reply the stream is broken off; the session is attached\n"
                "      again and goes on (default: 0)",
                &load.drop_share),
      TextFlag("text", "FILE",
               "what is said: pieces of this plain text, UTF-8 (default: a text of its own)",
               &options->text),
      TextFlag("system-prompt", "FILE", "the system prompt of every session (default: none)",
               &options->system_prompt),
      NumberFlag("temperature", "T", "of the replies; 0 is greedy (default: 0)",
                 &options->temperature, 0, 10),
      YesNoFlag("ignore-end-of-turn",
                "replies have --max-tokens tokens, whatever the model says (default: yes)",
                &options->ignore_end_of_turn),
      IntegerFlag("sinks", "S", "of a session (default: the server's)", &options->sinks, 0, kMost),
      IntegerFlag("window", "W", "of a session (default: the server's)", &options->window, 1,
                  kMost),
  };
}

std::vector<Flag> ReportFlags(Options* options) {
  return {
      MillisecondsFlag("slo-ttft-ms",
                       "goodput: turns whose first token comes within so long of when the turn was"
                       " due",
                       &options->objective.ttft),
      MillisecondsFlag(
          "slo-itl-ms",
          "goodput: turns of which 99 % of the gaps between tokens are at most so long",
          &options->objective.itl),
      TextFlag("json", "FILE", "write a report there", &options->json),
      TextFlag("plot", "FILE",
               "draw throughput and latency against sessions there, as SVG, or as PNG where the"
               " name\n      ends in .png; needs --sweep",
               &options->plot),
  };
}

std::string DescribeOthers(const Workload& load) {
  std::string text;
  const std::pair<double, const char*> shares[] = {
      {load.slow_share, "of sessions read slowly"},
      {load.cancel_share, "of turns cancelled"},
      {load.drop_share, "of turns dropped"},
  };
  if (load.history_tokens.most > 0) {
    absl::StrAppend(&text, "; history of ", Describe(load.history_tokens), " tokens in ",
                    100 * load.long_share, " % of sessions");
  }
  for (const auto& [share, what] : shares) {
    if (share > 0) absl::StrAppend(&text, "; ", 100 * share, " % ", what);
  }
  return text;
}

}  // namespace

std::vector<Flag> LoadFlags(Options* options) {
  std::vector<Flag> flags = {ServerFlag(&options->server)};
  for (auto& group : {CredentialFlags(&options->credentials), ShapeFlags(options),
                      TurnFlags(options), ReportFlags(options)}) {
    flags.insert(flags.end(), group.begin(), group.end());
  }
  return flags;
}

absl::Status CheckTogether(const Options& options) {
  const Workload& load = options.workload;
  const GivenFlags& given = options.given;
  const bool timed = load.duration > absl::ZeroDuration();
  const std::pair<bool, const char*> faults[] = {
      {load.OpenLoop() && !timed, "--rate: needs --duration"},
      {load.OpenLoop() && given.sessions,
       "--sessions: is of a closed loop; leave out --rate or it"},
      {load.OpenLoop() && !options.sweep.empty(), "--sweep: is of closed loops; leave out --rate"},
      {given.sessions && !options.sweep.empty(), "--sessions: --sweep has them already"},
      {given.warmup && !timed, "--warmup: needs --duration; else there are --warmup-turns"},
      {given.warmup_turns && timed, "--warmup-turns: with --duration there is --warmup"},
      {given.grace && !timed, "--grace: needs --duration"},
      {given.long_share && load.history_tokens.most == 0, "--long-share: needs --history-tokens"},
      {given.read_delay && load.slow_share == 0, "--read-delay-ms: needs --slow-share"},
      {!options.plot.empty() && options.sweep.empty(), "--plot: needs --sweep"},
      {!options.plot.empty() && options.plot == options.json, "--plot: is the file of --json"},
      {load.cancel_share + load.drop_share > 1,
       "--cancel-share and --drop-share: are more than 1 together"},
  };
  for (const auto& [fault, message] : faults) {
    if (fault) return absl::InvalidArgumentError(message);
  }
  return absl::OkStatus();
}

std::string Describe(const Workload& load) {
  std::string text =
      load.OpenLoop()
          ? absl::StrCat("open loop, ", load.rate, " sessions a second, ", load.turns,
                         " turns each")
          : absl::StrCat("closed loop, ", load.sessions, " sessions, ", load.turns, " turns each");
  absl::StrAppend(&text, "; prompts of ", Describe(load.prompt_tokens), ", replies of ",
                  Describe(load.reply_tokens), " tokens");
  if (load.think_ms.most > 0) absl::StrAppend(&text, "; think ", Describe(load.think_ms), " ms");
  return text + DescribeOthers(load);
}

}  // namespace sinkstream::loadgen
