#include "client/eval/recall.h"

#include <algorithm>
#include <limits>
#include <mutex>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/eval/console.h"
#include "client/eval/evaluation.h"
#include "client/eval/policy.h"
#include "client/eval/recall_plan.h"
#include "client/eval/scored_session.h"
#include "client/tool/standard_output.h"

namespace sinkstream::eval {
namespace {

// Words to choose from, and tokens in front of the first fact: the sinks hold none.
constexpr size_t kChoices = 16;
constexpr int64_t kLead = 64;

// The facts as this model's tokens.
struct Facts {
  std::vector<FactIds> ids;
  std::vector<int32_t> choices;  // first tokens of the words to choose from
  std::vector<int32_t> right;    // by fact: the first token of its word
};

struct DistanceResult {
  int64_t distance = 0;
  int64_t asked = 0;
  int64_t replied = 0;     // the likeliest reply is the word
  int64_t chosen = 0;      // the word is the likeliest of the choices
  double logprob_sum = 0;  // of the words, nats
  std::string cached;      // whether the facts were: "yes", "partly" or "no"
};

absl::StatusOr<FactIds> Tokenize(const Fact& fact, ScoreClient& client) {
  FactIds ids;
  const auto statement = client.Tokenize(fact.statement);
  if (!statement.ok()) return statement.status();
  const auto question = client.Tokenize(fact.question);
  if (!question.ok()) return question.status();
  const auto asked = client.Tokenize(fact.question + fact.answer);
  if (!asked.ok()) return asked.status();
  if (asked->size() <= question->size() ||
      !std::equal(question->begin(), question->end(), asked->begin())) {
    return absl::UnimplementedError(
        absl::StrCat("this model's tokens do not part '", fact.question, "' from its answer"));
  }
  return FactIds{*statement, *question, {asked->begin() + std::ssize(*question), asked->end()}};
}

// Words whose first tokens differ.
absl::StatusOr<std::vector<size_t>> ChooseWords(ScoreClient& client, std::vector<int32_t>& first) {
  std::vector<size_t> words;
  for (size_t word = 0; word < RecallWords().size() && words.size() < kChoices; ++word) {
    const auto ids = Tokenize(MakeFact(0, std::span(&word, 1)), client);
    if (!ids.ok()) return ids.status();
    if (std::find(first.begin(), first.end(), ids->answer.front()) != first.end()) continue;
    first.push_back(ids->answer.front());
    words.push_back(word);
  }
  return words;
}

absl::StatusOr<Facts> MakeFacts(int64_t count, ScoreClient& client) {
  Facts facts;
  const auto words = ChooseWords(client, facts.choices);
  if (!words.ok()) return words.status();
  for (int64_t i = 0; i < count; ++i) {
    auto ids = Tokenize(MakeFact(static_cast<size_t>(i), *words), client);
    if (!ids.ok()) return ids.status();
    facts.right.push_back(ids->answer.front());
    facts.ids.push_back(std::move(*ids));
  }
  return facts;
}

// What the reply to one question would have been.
void Judge(const Facts& facts, const Question& question, const std::vector<TokenScore>& answer,
           DistanceResult& result) {
  const std::vector<int32_t>& right = facts.ids[question.fact].answer;
  bool replied = true;
  for (size_t i = 0; i < right.size(); ++i) {
    const std::vector<float>& of = answer[i].distribution;
    replied &= *std::max_element(of.begin(), of.end()) == of[static_cast<size_t>(right[i])];
    result.logprob_sum -= answer[i].nll;
  }
  const std::vector<float>& first = answer.front().distribution;
  const auto logprob = [&first](int32_t id) { return first[static_cast<size_t>(id)]; };
  const int32_t right_word = facts.right[question.fact];
  const bool chosen = std::all_of(facts.choices.begin(), facts.choices.end(), [&](int32_t choice) {
    return choice == right_word || logprob(choice) < logprob(right_word);
  });
  ++result.asked;
  result.replied += replied ? 1 : 0;
  result.chosen += chosen ? 1 : 0;
}

absl::Status ReadUnscored(ScoredSession& session, std::span<const int32_t> ids) {
  while (!ids.empty()) {
    const auto piece =
        ids.first(std::min(ids.size(), static_cast<size_t>(ScoredSession::kMostTokens)));
    const auto scores = session.Append(piece, /*skip=*/std::ssize(piece), /*distributions=*/false);
    if (!scores.ok()) return scores.status();
    ids = ids.subspan(piece.size());
  }
  return absl::OkStatus();
}

absl::Status Ask(const Policy& policy, const Facts& facts, const RecallStream& stream,
                 ScoreClient& client, DistanceResult& result) {
  const auto session = ScoredSession::Open(client, SessionOf(policy));
  if (!session.ok()) return session.status();
  const std::span<const int32_t> ids = stream.ids;
  size_t read = 0;
  for (const Question& question : stream.questions) {
    const auto begin = static_cast<size_t>(question.answer_begin);
    const absl::Status status = ReadUnscored(**session, ids.subspan(read, begin - read));
    if (!status.ok()) return status;
    read = begin + facts.ids[question.fact].answer.size();
    const auto answer =
        (*session)->Append(ids.subspan(begin, read - begin), 0, /*distributions=*/true);
    if (!answer.ok()) return answer.status();
    Judge(facts, question, *answer, result);
  }
  (*session)->Close();
  return absl::OkStatus();
}

// The question's last token sees the window, itself included.
std::string Cached(int64_t distance, int64_t window, const Facts& facts) {
  int64_t shortest = INT64_MAX;
  int64_t whole = 0;
  for (const FactIds& fact : facts.ids) {
    shortest = std::min(shortest, std::ssize(fact.question));
    whole = std::max(whole, std::ssize(fact.question) + std::ssize(fact.statement));
  }
  if (distance + whole <= window) return "yes";
  return distance + shortest >= window ? "no" : "partly";
}

std::vector<int64_t> Distances(const RecallOptions& options, int64_t window) {
  if (!options.distances.empty()) return options.distances;
  std::set<int64_t> distances;
  for (const int64_t eighths : {1, 2, 4, 6, 8, 10, 12, 16}) distances.insert(window * eighths / 8);
  return {distances.begin(), distances.end()};
}

struct Recall {
  Policy policy;
  Facts facts;
  std::vector<RecallStream> streams;  // by distance
  std::vector<DistanceResult> results;
};

absl::StatusOr<Recall> Prepare(const RecallOptions& options, ScoreClient& client) {
  const auto filler = ReadIds(options.subject, {"--facts-per-distance", 0}, client);
  if (!filler.ok()) return filler.status();
  const CacheFlags cache = WithDefaults(options.cache, client.model());
  Recall recall;
  recall.policy = {PolicyKind::kSink, cache.sinks, cache.window};
  const absl::Status status = CheckPolicy(recall.policy, client.model().trained_context());
  if (!status.ok()) return status;
  auto facts = MakeFacts(options.facts_per_distance, client);
  if (!facts.ok()) return facts.status();
  recall.facts = std::move(*facts);
  for (const int64_t distance : Distances(options, cache.window)) {
    auto stream = MakeRecallStream(recall.facts.ids, distance, cache.sinks + kLead, *filler);
    if (!stream.ok()) return stream.status();
    recall.streams.push_back(std::move(*stream));
    recall.results.push_back(
        {.distance = distance, .cached = Cached(distance, cache.window, recall.facts)});
  }
  return recall;
}

absl::Status Measure(const RecallOptions& options, ScoreClient& client, Recall& recall) {
  int64_t total = 0;
  for (const RecallStream& stream : recall.streams) total += std::ssize(stream.ids);
  Progress progress = Progress::OnStandardError(total);
  std::mutex mutex;
  int64_t done = 0;
  return RunAll(recall.streams.size(), options.subject.parallel, [&](size_t i) {
    const absl::Status status =
        Ask(recall.policy, recall.facts, recall.streams[i], client, recall.results[i]);
    const std::lock_guard lock(mutex);
    if (status.ok()) progress.Show(done += std::ssize(recall.streams[i].ids), "");
    return status;
  });
}

double Part(int64_t count, const DistanceResult& result) {
  return static_cast<double>(count) / static_cast<double>(result.asked);
}

std::string ToMarkdown(const Recall& recall) {
  std::string text = absl::StrFormat(
      "Facts asked for after so many tokens, cache %s. Chance among %d words: %.0f %%.\n\n"
      "| distance (tokens) | still in the cache | replied | chosen among the words | mean "
      "log-probability |\n"
      "|---|---|---|---|---|\n",
      CacheOf(recall.policy), recall.facts.choices.size(),
      100.0 / static_cast<double>(recall.facts.choices.size()));
  for (const DistanceResult& result : recall.results) {
    if (result.asked == 0) continue;
    absl::StrAppendFormat(&text, "| %d | %s | %.0f %% | %.0f %% | %.2f |\n", result.distance,
                          result.cached, 100 * Part(result.replied, result),
                          100 * Part(result.chosen, result),
                          result.logprob_sum / static_cast<double>(result.asked));
  }
  return text;
}

Json Report(const RecallOptions& options, const v1::GetModelResponse& model, const Recall& recall,
            const absl::Status& status) {
  Json report = {{"sinks", recall.policy.sinks},
                 {"window", recall.policy.window},
                 {"chance", 1.0 / static_cast<double>(recall.facts.choices.size())},
                 {"complete", status.ok()},
                 {"distances", Json::array()}};
  if (!status.ok()) report["error"] = std::string(status.message());
  report.update(DescribeSubject(options.subject, model));
  for (const DistanceResult& result : recall.results) {
    report["distances"].push_back(
        {{"distance", result.distance},
         {"in_cache", result.cached},
         {"asked", result.asked},
         {"replied", Part(result.replied, result)},
         {"chosen", Part(result.chosen, result)},
         {"mean_logprob", result.logprob_sum / static_cast<double>(result.asked)}});
  }
  return report;
}

}  // namespace

std::vector<Flag> RecallFlags(RecallOptions* options) {
  std::vector<Flag> flags = SubjectFlags(&options->subject);
  const auto add = [&flags](Flag flag) { flags.push_back(std::move(flag)); };
  for (Flag& flag : WindowFlags(&options->cache)) add(std::move(flag));
  add(IntegersFlag("distances", "D,D,...",
                   "tokens between a fact and its question\n"
                   "      (default: from an eighth of the window to twice of it)",
                   &options->distances, 1, std::numeric_limits<int32_t>::max()));
  add(IntegerFlag("facts-per-distance", "COUNT", "facts asked for at each (default: 20)",
                  &options->facts_per_distance, 1, static_cast<int64_t>(MostFacts())));
  add(TextFlag("markdown", "FILE", "write the table there", &options->markdown));
  add(TextFlag("json", "FILE", "write a report there", &options->json));
  return flags;
}

absl::Status RunRecall(const RecallOptions& options, ScoreClient& client) {
  const absl::Status writable = CheckWritable({options.markdown, options.json});
  if (!writable.ok()) return writable;
  auto recall = Prepare(options, client);
  if (!recall.ok()) return recall.status();
  const absl::Status measured = Measure(options, client, *recall);
  const std::string markdown = IncompleteMark(measured) + ToMarkdown(*recall);
  PrintText(markdown);
  absl::Status kept = KeepReport(options.json, Report(options, client.model(), *recall, measured));
  kept.Update(KeepReport(options.markdown, markdown));
  return FirstError(measured, kept, {options.json, options.markdown});
}

}  // namespace sinkstream::eval
